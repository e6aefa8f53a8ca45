WORD = "from a package below it"
