"""What schemathesis has to know of Hallpass beside its description."""

import itertools
import json

import schemathesis

ADDRESSES = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Each request comes from an address of its own: those that fail to authenticate would soon be turned away."""
    number = next(ADDRESSES)
    case.headers["x-forwarded-for"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    if isinstance(case.body, dict):
        case.body = {name: plain(name, value) for name, value in case.body.items()}


def plain(name, value):
    """What no schema can say: a whole number is written without a point, a policy has no character beyond U+00FF."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if name == "session_policy" and isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False).encode("latin-1", "replace")
        return json.loads(text.decode("latin-1"))
    return value


@schemathesis.serializer("application/toml")
def toml(context, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.deserializer("application/jsonl", "application/toml", "text/csv")
def text(context, response):
    return response.text
