"""A model behind HTTP, as OpenAI's API has it, for the programs that speak that.

Built on Python's own http.server: the model writes on one team of threads however many ask, so nothing faster would
answer sooner, and it installs wherever Python does. It knows no TLS and no users: for the open internet, put a reverse
proxy before it.
"""

from rgz.serve.requests import Reader
from rgz.serve.server import Server

__all__ = ["Reader", "Server"]
