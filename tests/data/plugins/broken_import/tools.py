from base import BaseTool
import no_such_module_anywhere


class Never(BaseTool):
    name = "never"
