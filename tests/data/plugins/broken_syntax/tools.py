from base import BaseTool

class Never(BaseTool)
    name = "never_read"
