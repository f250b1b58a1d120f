"""Documents to BSON, with errors that say where the trouble is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DocumentTooLarge

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
# A command is one document for the server, which takes 16 KiB more than a stored one.
_MAX_BATCH_BYTES = MAX_DOCUMENT_BYTES - 64 * 1024
_MAX_BATCH_OPERATIONS = 100_000
# Type, index and end of an array's element.
_ELEMENT_OVERHEAD = 8


def encode(document: Mapping[str, Any], codec_options: CodecOptions[Any]) -> bytes:
    """Encodes a document.

    Args:
        document: The document.
        codec_options: As the collection has them.

    Returns:
        BSON.

    Raises:
        InvalidDocument: If something in it has no form in BSON; names the field.
    """
    try:
        return bson.encode(document, codec_options=codec_options)
    except InvalidDocument as error:
        path = _offending_path(document, codec_options)
        if path is None or path in str(error):
            raise
        raise InvalidDocument(f"{error} (field {path!r})") from error


def raw(document: Mapping[str, Any], codec_options: CodecOptions[Any]) -> RawBSONDocument:
    """Encodes a document that is to be stored.

    Args:
        document: The document.
        codec_options: As the collection has them.

    Returns:
        The document as bytes that a command takes over as they are.

    Raises:
        DocumentTooLarge: If it has more than 16 MiB.
        InvalidDocument: If something in it has no form in BSON; names the field.
    """
    if isinstance(document, RawBSONDocument):
        encoded = document.raw
    else:
        encoded = encode(document, codec_options)
    if len(encoded) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge(
            f"BSON document too large ({len(encoded)} bytes) - the connected server supports BSON "
            f"document sizes up to {MAX_DOCUMENT_BYTES} bytes."
        )
    return RawBSONDocument(encoded)


def with_id(document: Any) -> Any:
    """Gives a document that is to be inserted an `_id`, in place, as PyMongo does.

    Args:
        document: The document.

    Returns:
        Its `_id`.

    Raises:
        TypeError: If it is no document that can be changed.
    """
    if isinstance(document, RawBSONDocument):
        return document.get("_id")
    if not isinstance(document, MutableMapping):
        raise TypeError(
            "document must be an instance of dict, bson.son.SON, bson.raw_bson.RawBSONDocument, or "
            f"a type that inherits from collections.MutableMapping, not {type(document)}"
        )
    if "_id" not in document:
        document["_id"] = bson.ObjectId()
    return document["_id"]


def batches(operations: Iterable[RawBSONDocument]) -> Iterator[list[RawBSONDocument]]:
    """Splits operations into what one command takes.

    Args:
        operations: The operations.

    Yields:
        Operations of one command, in order.
    """
    batch: list[RawBSONDocument] = []
    size = 0
    for operation in operations:
        bytes_needed = len(operation.raw) + _ELEMENT_OVERHEAD
        too_large = size + bytes_needed > _MAX_BATCH_BYTES
        if batch and (too_large or len(batch) >= _MAX_BATCH_OPERATIONS):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += bytes_needed
    if batch:
        yield batch


def _offending_path(value: Any, codec_options: CodecOptions[Any], prefix: str = "") -> str | None:
    """Finds the innermost field that cannot be encoded."""
    entries: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    else:
        return prefix or None
    for key, entry in entries:
        path = f"{prefix}.{key}" if prefix else str(key)
        try:
            bson.encode({"value": entry}, codec_options=codec_options)
        except (InvalidDocument, RecursionError):
            return _offending_path(entry, codec_options, path)
    return prefix or None
