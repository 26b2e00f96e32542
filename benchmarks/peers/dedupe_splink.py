"""Splink on a file of `crumbtrail bench people`, for benchmarks/dedupe.sh.

Two models. "tutorial" has the comparisons of Splink's own examples of people. "tuned" takes out of it
what costs it most on such contacts: levels for an e-mail address's user part, which say again that the
names are alike. Both adjust for term frequencies and are trained as Splink's documentation says: prior
from deterministic rules, u from random pairs, m by expectation and maximisation over three blocks.

Prints one JSON object: CPU seconds and peak memory of the process, and how good the pairs and clusters
are, over all true pairs, those that blocking misses included. The truth is read apart, and scoring is
not counted.
"""

import argparse
import json
import logging
import resource
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import duckdb
import splink
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

# What a person's records are brought together by. A phone number alone may be a switchboard's: of a
# million rows that rule alone makes hundreds of millions of pairs.
BLOCKS = [
    block_on("email"),
    block_on("phone9", "first_name"),
    block_on("phone9", "last_name"),
    block_on("phone9", "date_of_birth"),
    block_on("first_name", "last_name"),
    block_on("last_name", "date_of_birth"),
    block_on("first_name", "date_of_birth"),
    block_on("date_of_birth", "postcode"),
    block_on("last_name", "postcode"),
    block_on("first_name", "postcode"),
    block_on("street", "city"),
]

# Rules of which nearly every pair is one person, and how many of the true pairs they find.
CERTAIN = [
    block_on("first_name", "last_name", "date_of_birth"),
    block_on("first_name", "last_name", "email"),
    block_on("first_name", "last_name", "phone9"),
]
CERTAIN_FIND = 0.6

# Blocks of which most pairs are one person: from those with many of one household m comes out wrong.
TRAINED_ON = [
    block_on("first_name", "last_name", "date_of_birth"),
    block_on("first_name", "last_name", "postcode"),
    block_on("first_name", "email"),
    block_on("first_name", "phone9"),
]


def tuned_email():
    """Exact with term frequencies, one edit, anything else."""
    exact = cll.ExactMatchLevel("email", term_frequency_adjustments=True)
    return cl.CustomComparison(
        output_column_name="email",
        comparison_levels=[
            cll.NullLevel("email"),
            exact,
            cll.LevenshteinLevel("email", 1),
            cll.ElseLevel(),
        ],
    )


def comparisons(model):
    frequent = {"term_frequency_adjustments": True}
    own = [
        cl.ForenameSurnameComparison(
            "first_name", "last_name", forename_surname_concat_col_name="first_and_last"
        ),
        cl.DateOfBirthComparison("date_of_birth", input_is_string=True),
        cl.DamerauLevenshteinAtThresholds("phone9", 1).configure(**frequent),
        cl.ExactMatch("postcode").configure(**frequent),
    ]
    if model == "tutorial":
        return own + [
            cl.EmailComparison("email"),
            cl.JaroWinklerAtThresholds("street", 0.9),
            cl.ExactMatch("city").configure(**frequent),
        ]
    return own + [tuned_email()]


# What any user of Splink does first: case and white space, the last nine digits of a phone number.
CLEANED = """
create table people as
select row_number() over () as unique_id, person_id,
    n(first_name) as first_name, n(last_name) as last_name,
    n(first_name) || ' ' || n(last_name) as first_and_last,
    n(email) as email, nullif(right(regexp_replace(phone, '\\D', '', 'g'), 9), '') as phone9,
    n(date_of_birth) as date_of_birth, n(street) as street, n(city) as city,
    n(replace(postcode, ' ', '')) as postcode
from read_csv(?, all_varchar = true, header = true)
"""


def cpu():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return r.ru_utime + r.ru_stime


class Clock:
    """CPU and wall seconds of the steps, one after another."""

    def __init__(self):
        self.steps, self.last = {}, (cpu(), time.monotonic())

    def step(self, name):
        now = cpu(), time.monotonic()
        self.steps[name] = {
            "cpu_seconds": round(now[0] - self.last[0], 2),
            "seconds": round(now[1] - self.last[1], 2),
        }
        self.last = now


def quality(right, found, true):
    return {
        "precision": right / max(found, 1),
        "recall": right / max(true, 1),
        "f1": 2 * right / max(found + true, 1),
    }


def score_pairs(con, predictions, threshold, true):
    sql = f"""
    select match_probability as p, count(*) as n,
        count(*) filter (a.person_id = b.person_id) as yes
    from {predictions} join people a on a.unique_id = unique_id_l
        join people b on b.unique_id = unique_id_r
    group by p order by p desc
    """
    found = right = 0
    default, best, at = quality(0, 0, true), quality(0, 0, true), 1.0
    for p, n, yes in con.execute(sql).fetchall():
        found, right = found + n, right + yes
        q = quality(right, found, true)
        if p >= threshold:
            default = q
        if q["f1"] > best["f1"]:
            best, at = q, p
    return default, best, at


PAIRS = "select coalesce(sum(n * (n - 1) // 2), 0)::bigint from (select count(*) as n from {} group by {})"


def score_clusters(con, clusters, true):
    con.execute(
        f"create or replace temp table judged as "
        f"select c.cluster_id, p.person_id from {clusters} c join people p using (unique_id)"
    )
    pairs = lambda by: con.execute(PAIRS.format("judged", by)).fetchone()[0]
    largest = con.execute(
        "select max(n) from (select count(*) as n from judged group by cluster_id)"
    ).fetchone()[0]
    return quality(pairs("cluster_id, person_id"), pairs("cluster_id"), true), largest


def main():
    args = argparse.ArgumentParser()
    args.add_argument("file")
    args.add_argument("--model", choices=["tutorial", "tuned"], default="tuned")
    args.add_argument("--threshold", type=float, default=0.95)
    args.add_argument("--threads", type=int, default=2)
    o = args.parse_args()
    clock = Clock()

    con = duckdb.connect(config={"threads": o.threads})
    con.execute("create macro n(x) as nullif(lower(trim(x)), '')")
    con.execute(CLEANED, [o.file])
    clock.step("read")

    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=BLOCKS,
        comparisons=comparisons(o.model),
        retain_intermediate_calculation_columns=False,
        retain_matching_columns=False,
    )
    linker = Linker("people", settings, DuckDBAPI(con))
    linker.training.estimate_probability_two_random_records_match(CERTAIN, recall=CERTAIN_FIND)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=1e6 if o.model == "tuned" else 1e7, seed=1
    )
    for rule in TRAINED_ON:
        linker.training.estimate_parameters_using_expectation_maximisation(
            rule, estimate_without_term_frequencies=True
        )
    clock.step("train")
    predictions = linker.inference.predict(threshold_match_probability=0.01)
    clock.step("predict")
    at_least = lambda p: linker.clustering.cluster_pairwise_predictions_at_threshold(
        predictions, threshold_match_probability=p
    )
    clusters = at_least(o.threshold)
    clock.step("cluster")
    usage = resource.getrusage(resource.RUSAGE_SELF)

    rows = con.execute("select count(*) from people").fetchone()[0]
    true = con.execute(PAIRS.format("people", "person_id")).fetchone()[0]
    default, best, at = score_pairs(con, predictions.physical_name, o.threshold, true)
    joined, largest = score_clusters(con, clusters.physical_name, true)
    best_joined, _ = score_clusters(con, at_least(at).physical_name, true)
    print(json.dumps({
        "name": f"splink {splink.__version__}, {o.model}",
        "events": rows,
        "seconds": round(sum(s["seconds"] for s in clock.steps.values()), 2),
        "user_seconds": usage.ru_utime,
        "system_seconds": usage.ru_stime,
        "events_per_core_second": rows / (usage.ru_utime + usage.ru_stime),
        "peak_rss_bytes": usage.ru_maxrss << 10,
        "steps": clock.steps,
        "matching": {
            "pairs": default, "best": best, "best_at": at, "clusters": joined,
            "clusters_best": best_joined, "largest": largest, "true_pairs": true,
            "threshold": o.threshold,
        },
    }))


if __name__ == "__main__":
    main()
