WORD = "from a file beside it"
