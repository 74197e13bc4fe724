"""What AWS asks for what a run uses: list prices of us-east-1, in US dollars, on demand, without taxes.

As published in November 2026 (those of DynamoDB's requests since November 2024). They may change, and differ from
region to region; nothing here asks AWS.
"""

from __future__ import annotations

from benchmarks.tables import Row, Table

# https://aws.amazon.com/dynamodb/pricing/on-demand/ (table class Standard)
WRITE_REQUEST_UNIT = 0.625 / 1_000_000
READ_REQUEST_UNIT = 0.125 / 1_000_000
STORED_GB_MONTH = 0.25
STORED_GB_FREE = 25.0
RECOVERABLE_GB_MONTH = 0.20
ITEM_OVERHEAD_BYTES = 100
# https://aws.amazon.com/lambda/pricing/ (arm64, first tier; the free tier is not taken off)
LAMBDA_REQUEST = 0.20 / 1_000_000
LAMBDA_GB_SECOND = 0.0000133334
# https://aws.amazon.com/eventbridge/pricing/ (custom events of up to 64 kB; Scheduler)
EVENT = 1.00 / 1_000_000
SCHEDULED_INVOCATION = 1.00 / 1_000_000
SCHEDULED_INVOCATIONS_FREE = 14_000_000

HOURS_A_MONTH = 730
JOBS_KEPT_DAYS = 90
LAMBDA_GB = 0.5
LAMBDA_SECONDS = 1.0
_INTERVALS_MINUTES = (1, 5)


def cost_table(
    *,
    read_units: int,
    write_units: int,
    full_read_units: int,
    job_bytes: int,
    repaired_each: float,
    events: float,
) -> Table:
    """The cost of quiet months.

    Args:
        read_units: of one quiet run.
        write_units: of one quiet run.
        full_read_units: of one that finds 500 interventions and 500 open mismatches.
        job_bytes: how large the record of a quiet run is.
        repaired_each: dollars of DynamoDB for one alert group more that a run resolves.
        events: those that are sent for one of these.
    """
    hourly = [60 / minutes for minutes in _INTERVALS_MINUTES]
    months = [_month(runs, read_units, write_units, job_bytes) for runs in hourly]
    rows = [Row(name=name, figures=[month[name] for month in months]) for name in months[0]]
    more_read = [runs * HOURS_A_MONTH * (full_read_units - read_units) * READ_REQUEST_UNIT for runs in hourly]
    changed = 1000 * (repaired_each + events * EVENT)
    return Table(
        title="Cost: a quiet month of 730 hours, in US dollars, from AWS's list prices for us-east-1 (November 2026)",
        columns=[f"every {minutes} min" if minutes > 1 else "every minute" for minutes in _INTERVALS_MINUTES],
        rows=[
            *rows,
            Row(name="on top: 500 + 500 remembered all month, $", figures=[f"{more:.2f}" for more in more_read]),
            Row(name="on top: each 1,000 alert groups resolved, $", figures=[f"{changed:.3f}"] * len(months)),
        ],
        remarks=(
            f"Jobs are kept {JOBS_KEPT_DAYS} days; {STORED_GB_FREE:g} GB of storage are free in each account.",
            f"Lambda: {LAMBDA_GB:g} GB on arm64 for {LAMBDA_SECONDS:g} s a run is an assumption, not measured.",
        ),
    )


def _month(runs_an_hour: float, read_units: float, write_units: float, job_bytes: int) -> dict[str, str]:
    runs = runs_an_hour * HOURS_A_MONTH
    stored_gb = runs_an_hour * 24 * JOBS_KEPT_DAYS * (job_bytes + ITEM_OVERHEAD_BYTES) / 1024**3
    table = {
        "DynamoDB: writes, $": runs * write_units * WRITE_REQUEST_UNIT,
        "DynamoDB: reads, $": runs * read_units * READ_REQUEST_UNIT,
        "DynamoDB: storage, $": max(0.0, stored_gb - STORED_GB_FREE) * STORED_GB_MONTH,
        "DynamoDB: point-in-time recovery, $": stored_gb * RECOVERABLE_GB_MONTH,
    }
    memory = sum(table.values())
    function = runs * (LAMBDA_REQUEST + LAMBDA_GB * LAMBDA_SECONDS * LAMBDA_GB_SECOND)
    schedule = max(0.0, runs - SCHEDULED_INVOCATIONS_FREE) * SCHEDULED_INVOCATION
    return {
        "runs": f"{runs:,.0f}",
        "job records stored, GB": f"{stored_gb:.3f}",
        **_shown(table),
        **_shown({"memory together, $": memory, "Lambda, $": function, "EventBridge Scheduler, $": schedule}),
        "all of these, $": f"{memory + function + schedule:.2f}",
    }


def _shown(dollars: dict[str, float]) -> dict[str, str]:
    return {name: f"{amount:.2f}" for name, amount in dollars.items()}
