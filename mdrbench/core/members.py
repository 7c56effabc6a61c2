"""Members: the interchangeable parts of a recipe, checked and ready to be built.

A member class declares itself with ``spec = Spec(Config, version=1)``. A recipe's mapping ``{name: bm25, k1: 1.2}``
becomes a :class:`Member`: the class, its validated configuration, and where its code is from. A configuration names
members of other families with a field such as ``encoder: EncoderMember``; pydantic then checks the whole tree at once.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from mdrbench.core import registry
from mdrbench.core.errors import UsageError

Json = dict[str, Any]


class MemberConfig(BaseModel):
    """Base of all configurations: immutable, strict about types, unknown keys and infinite numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _from_yaml(cls, value: Any, info: ValidationInfo) -> Any:
        """Take a list for a tuple and text for a path: YAML has neither."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, list) and typing.get_origin(kind) is tuple:
            return tuple(value)
        return Path(value) if isinstance(value, str) and kind is Path else value


class NoSettings(MemberConfig):
    """Takes no settings."""


@dataclass(frozen=True)
class Spec:
    """What a member class declares about itself.

    Attributes:
        config: the model of its settings; the class is built with an instance of it.
        version: a number to raise when the output changes for the same input; part of every key.
        run_only: settings that cannot change the output, such as a batch size; part of no key.
        added: settings that came later and change nothing at their default; keys and digests leave them out then, so
            that older results keep theirs.
        search_only: settings (and conventions) that an index does not depend on: changing them searches the same index.
        resumable: whether ``index`` continues from what an interrupted attempt left in its folder.
        combines: for a retriever of retrievers: whether it fuses their ``runs``, searches their ``indexes``, or
            orders the hits of one anew (``rerank``).
    """

    config: type[BaseModel]
    version: int
    run_only: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    search_only: tuple[str, ...] = ()
    resumable: bool = False
    combines: Literal["runs", "indexes", "rerank"] | None = None


@dataclass(frozen=True)
class Member:
    """A checked member of a family: its configuration, and all that plans and stages ask of it."""

    family: str
    config: Any
    source: registry.Source = field(repr=False)
    cls: type[Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, family: str, settings: Mapping[str, Any], context: Any = None) -> Member:
        """Check settings, such as ``Member.of("retrievers", {"name": "bm25", "k1": 1.2})``.

        Raises:
            UsageError: there is no such member, or its code from outside has changed.
            ValidationError: with all mistakes in the settings.
        """
        name, recorded = settings["name"], settings.get("from")
        source = registry.source(family, name)
        found = source.load()
        if recorded and recorded.get("sha256") != source.record.get("sha256"):
            raise UsageError(
                f"the code of '{name}' is not the code that the recipe was made with",
                where=source.origin,
                mend="restore that code, or remove the key `from` to use the new code",
            )
        rest = {key: value for key, value in settings.items() if key not in ("name", "from")}
        return cls(family, found.spec.config.model_validate(rest, context=context), source, found)

    @property
    def name(self) -> str:
        """The name that recipes use."""
        return self.source.name

    @property
    def spec(self) -> Spec:
        """What its class declares."""
        spec: Spec = self.cls.spec
        return spec

    def build(self) -> Any:
        """A new object of the member's class, with this configuration."""
        return self.cls(self.config)

    @property
    def parts(self) -> dict[str, Member]:
        """The members that its configuration names, by dotted key: ``encoder``, or ``of.bm25``."""
        return dict(_parts(self.config))

    @property
    def device(self) -> str | None:
        """Where its model runs, or the first model of its parts; None if there is no model."""
        own = getattr(self.build(), "device", None)
        return own or next(filter(None, (part.device for part in self.parts.values())), None)

    @property
    def settings(self) -> Json:
        """All settings as JSON, as a recipe would write them, with the identity of code from outside under ``from``."""
        return {"name": self.name, **self._origin(), **self.config.model_dump(mode="json")}

    @property
    def keyed(self) -> Json:
        """The settings that can change the output: ``settings`` without those that are ``run_only``, parts included."""
        return without_run_only(self.family, self.settings)

    def _origin(self) -> Json:
        record: Json = self.source.record
        if not record:
            return {}
        declared = {"run_only": list(self.spec.run_only), "parts": _families(self.spec.config)}
        return {"from": {**record, **{key: value for key, value in declared.items() if value}}}

    def vary(self, **changes: Any) -> Member:
        """The same member with other settings; a mapping changes single keys of a part."""
        return Member.of(self.family, _laid_over(self.written, changes))

    @property
    def written(self) -> Json:
        """``settings`` with absolute paths of member files, so that they can be checked again from any folder."""
        result = {**self.settings, "name": str(self.source.file) if self.name.endswith(".py") else self.name}
        for key, part in self.parts.items():
            field_name, _, label = key.partition(".")
            if label:
                result[field_name] = {**result[field_name], label: part.written}
            else:
                result[field_name] = part.written
        return result

    def __reduce__(self) -> tuple[Callable[..., Member], tuple[str, Json]]:
        return Member.of, (self.family, self.written)


def _parts(config: BaseModel) -> Iterator[tuple[str, Member]]:
    for key in type(config).model_fields:
        value = getattr(config, key)
        if isinstance(value, Member):
            yield key, value
        elif isinstance(value, dict):
            yield from ((f"{key}.{label}", part) for label, part in value.items() if isinstance(part, Member))


def _laid_over(settings: Json, changes: Mapping[str, Any]) -> Json:
    result = dict(settings)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = _laid_over(result[key], value) if nested else value
    return result


@dataclass(frozen=True)
class Part:
    """The annotation of a field that holds a member: ``Annotated[Member, Part("encoders")]``.

    The field takes a mapping with ``name``, and for a retriever also the name of a recipe whose retriever is meant.

    Attributes:
        default: the member that is meant if a mapping has no ``name``.
    """

    family: str
    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._check, serialization=core_schema.plain_serializer_function_ser_schema(lambda member: member.settings)
        )

    def _check(self, value: Any, info: ValidationInfo) -> Member:
        if isinstance(value, Member):
            return value
        context: Context | None = info.context
        if isinstance(value, str) and self.family == "retrievers":
            if context is None:
                raise ValueError(f"a retriever is a mapping with a `name`; '{value}' can only be read in a recipe")
            value, context = context.follow(value)
        if not isinstance(value, dict):
            raise ValueError("a mapping with the key `name` is expected")
        value = {**({"name": self.default} if self.default else {}), **value}
        if not isinstance(value.get("name"), str):
            raise _at_name(f"missing; choose among {', '.join(registry.members(self.family))}", value.get("name"))
        try:
            return Member.of(self.family, value, context)
        except UsageError as error:
            where = f"{error.where}: " if error.where else ""
            raise _at_name(f"{where}{error.message}; {error.mend}", value["name"]) from None


def _at_name(text: str, name: Any) -> ValidationError:
    """An error whose location is the key ``name``."""
    kind = PydanticCustomError("member", "{text}", {"text": text})
    return ValidationError.from_exception_data("member", [InitErrorDetails(type=kind, loc=("name",), input=name)])


@dataclass(frozen=True)
class Context:
    """How names of recipes are read while a recipe is checked.

    Attributes:
        retriever_of: recipe name -> the mapping of its retriever, or again a recipe's name.
        chain: the recipes that are being read, to notice a circle.
    """

    retriever_of: Callable[[str], Any]
    chain: tuple[str, ...] = ()

    def follow(self, name: str) -> tuple[Any, Context]:
        """The retriever of a recipe, and the context to check it in."""
        if name in self.chain:
            raise ValueError(f"recipes name each other in a circle: {' -> '.join([*self.chain, name])}")
        try:
            return self.retriever_of(name), Context(self.retriever_of, (*self.chain, name))
        except UsageError as error:
            raise ValueError(f"{error.message}; {error.mend}") from None


def labelled(parts: Any) -> Any:
    """A list of parts as a mapping: a recipe's name is its own label, a mapping is labelled with its member's name."""
    if not isinstance(parts, list):
        return parts
    labels = [str(part.get("name", "?")) if isinstance(part, dict) else str(part) for part in parts]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two parts are called the same ({', '.join(labels)}): write a mapping LABEL: part")
    return dict(zip(labels, parts, strict=True))


EncoderMember = Annotated[Member, Part("encoders")]
IndexMember = Annotated[Member, Part("indexes")]
RetrieverMember = Annotated[Member, Part("retrievers")]
RetrieverMembers = Annotated[dict[str, RetrieverMember], BeforeValidator(labelled)]
"""Label -> retriever; a list of recipes' names is labelled with the names."""


def part_of(info: FieldInfo | None) -> tuple[Part, bool] | None:
    """The part that a field holds, and whether it holds several by label; None if it holds none."""
    hints = () if info is None else (info.annotation, *info.metadata)
    return next((found for hint in hints if (found := _part_in(hint, several=False))), None)


def _part_in(hint: Any, several: bool) -> tuple[Part, bool] | None:
    if isinstance(hint, Part):
        return hint, several
    inside = several or typing.get_origin(hint) is dict
    return next((found for inner in typing.get_args(hint) if (found := _part_in(inner, inside))), None)


def without_run_only(family: str, settings: Json) -> Json:
    """A member's settings without those that cannot change the output; its parts are treated alike.

    Recorded settings are not checked again, so that results stay readable when a member gains a setting. Code from
    outside is not needed: its record says what is ``run_only``, and the families of its parts.
    """
    if "from" in settings:
        origin = settings["from"]
        kept = {key: value for key, value in settings.items() if key not in origin.get("run_only", ())}
        return _keyed_parts(origin.get("parts", {}), kept)
    spec: Spec = registry.source(family, settings["name"]).load().spec
    kept = {key: value for key, value in settings.items() if not _left_out(spec, key, value)}
    return keyed_parts(spec.config, kept)


def _left_out(spec: Spec, key: str, value: Any) -> bool:
    if key not in spec.added:
        return key in spec.run_only
    default = spec.config.model_fields[key].default
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def keyed_parts(model: type[BaseModel], data: Json) -> Json:
    """JSON of a model with :func:`without_run_only` applied to each member in it."""
    return _keyed_parts(_families(model), data)


def _families(model: type[BaseModel]) -> dict[str, str]:
    """The keys of a model that hold members, with their families."""
    return {key: found[0].family for key, info in model.model_fields.items() if (found := part_of(info))}


def _keyed_parts(families: Mapping[str, str], data: Json) -> Json:
    """Apply :func:`without_run_only` to each member under the keys of ``families``, and to each of several by label."""
    result = dict(data)
    for key, family in families.items():
        value = data.get(key)
        if isinstance(value, dict):
            single = isinstance(value.get("name"), str)
            result[key] = (
                without_run_only(family, value)
                if single
                else {label: without_run_only(family, each) for label, each in value.items()}
            )
    return result


def described(family: str, name: str) -> tuple[str, list[Json]]:
    """Describe the settings of a member.

    Returns:
        The first line of its description, and for each setting: ``setting``, ``default`` (``required`` if there is
        none), ``keyed`` (whether it is part of keys) and ``meaning``.

    Raises:
        UsageError: there is no such family or member.
    """
    source = registry.source(family, name)
    spec: Spec = source.load().spec
    rows = []
    for setting, info in spec.config.model_fields.items():
        part = part_of(info)
        choices = typing.get_args(info.annotation) if typing.get_origin(info.annotation) is Literal else ()
        meaning = [
            info.description or "",
            f"one of {', '.join(map(str, choices))}" if choices else "",
            f"a member of {part[0].family}" if part and not info.description else "",
        ]
        rows.append(
            {
                "setting": setting,
                "default": "required" if info.is_required() else json.dumps(_plain(info), ensure_ascii=False),
                "keyed": setting not in spec.run_only,
                "meaning": "; ".join(filter(None, meaning)),
            }
        )
    return source.summary, rows


def _plain(info: FieldInfo) -> Any:
    """The default of a setting as JSON."""
    default = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        return default.model_dump(mode="json")
    return list(default) if isinstance(default, tuple) else default
