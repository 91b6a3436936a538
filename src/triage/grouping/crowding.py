"""A bound on how many different messages a summary tells apart: those beyond it are counted together."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

MOST_IDS = 20_000  # failures, and groups, that a summary tells apart
OTHER = "other"  # stands for the groups that it does not
TELLING = 16  # a failure with a stack, a link or a mark weighs as much as so many plain messages


def thin_out(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables of a summary that change when it has more different messages than it may, to be folded again.

    The weightiest stay: by their count, those with a stack, a link or a mark before plain ones, and of equals the
    smallest ids, which every shard chooses alike. The records of the others stay in `clusters`, under OTHER.
    """
    nodes, groups = tables["nodes"], tables["groups"]
    if nodes.height <= MOST_IDS and groups.height <= MOST_IDS:
        return {}
    links = tables["links"]
    answers = nodes.filter(pl.col("kind") == "http")["id"]
    proven = pl.concat([links["cause"], links["effect"], tables["marked"]["failure"], answers]).unique()
    failures = tables["failures"].group_by("failure").agg(pl.col("count").sum(), pl.col("stacks").sum())
    lost = _lightest(
        nodes.select("id").join(failures, left_on="id", right_on="failure", how="left"),
        pl.col("id").is_in(proven.implode()) | (pl.col("stacks") > 0),
    )
    counts = tables["clusters"].group_by("signature").agg(pl.col("count").sum())
    told = tables["members"].filter(~pl.col("failure").is_in(lost.implode()))["signature"].unique()
    merged = _lightest(
        groups.select("exception", id="signature").join(counts, left_on="id", right_on="signature", how="left"),
        pl.col("exception").is_not_null(),
        first=pl.col("id").is_in(told.implode()),
    )

    def among(name: str, ids: pl.Series) -> pl.Expr:
        return pl.col(name).is_in(ids.implode()).fill_null(False)

    thin = {name: tables[name].filter(~among("failure", lost)) for name in ("failures", "activity", "marked", "traces")}
    shown = pl.concat([nodes.filter(~among("id", lost))["id"], groups.filter(~among("signature", merged))["signature"]])
    return thin | {
        "nodes": nodes.filter(~among("id", lost)),
        "groups": groups.filter(~among("signature", merged)),
        "links": links.filter(~among("cause", lost) & ~among("effect", lost)),
        "members": tables["members"].filter(~among("failure", lost) & ~among("signature", merged)),
        "rhythm": tables["rhythm"].filter(~among("signature", merged)),
        "examples": tables["examples"].filter(among("id", shown) | ~(among("id", lost) | among("id", merged))),
        "clusters": tables["clusters"].with_columns(
            signature=pl.when(among("signature", merged)).then(pl.lit(OTHER)).otherwise("signature")
        ),
        "exits": tables["exits"].with_columns(failure=pl.when(~among("failure", lost)).then("failure")),
    }


def _lightest(rows: pl.DataFrame, telling: pl.Expr, *, first: pl.Expr | None = None) -> pl.Series:
    """The ids of rows (id, count) beyond the weightiest; of equal ones `first` stay rather."""
    weight = pl.col("count").fill_null(0) * pl.when(telling).then(TELLING).otherwise(1)
    ranked = rows.select("id", weight=weight, first=pl.lit(value=False) if first is None else first)
    return ranked.sort("weight", "first", "id", descending=[True, True, False])["id"].slice(MOST_IDS)
