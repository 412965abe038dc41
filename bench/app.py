"""The Hydra application: composes the config and runs one cell, one job of a sweep, or, with ``-m``, a whole sweep.

Hydra's own ways all work: ``--cfg job``, ``--help``, ``-m``, shell completion. What a user got wrong leaves here as a
message and an exit code, never as a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bench.config import Config
from bench.config.guard import guarded
from bench.config.hydra_errors import is_refusal, usage_error
from bench.config.schema import JobConfig
from bench.errors import BenchError
from bench.plan.grid import read_composed
from bench.plan.plan import make_plan
from bench.records import Status
from bench.store.layout import SweepFolder
from bench.sweep import Left, conduct, run_job, show_plan, show_run, silence_output

_HERE = Path(__file__).resolve().parent
# A checkout has conf/ beside the package, an installed wheel has it inside.
CONF = next(path for path in (_HERE / "conf", _HERE.parent / "conf") if path.is_dir())
INTERRUPTED = 130


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _application(config: DictConfig) -> str:
    """One Hydra job; returns the status of its run."""
    try:
        settings = read_composed(config)
        return _single_run(settings) if settings.job.sweep_dir is None else _sweep_job(settings.job)
    except BenchError as error:
        # SystemExit, because Hydra keeps ordinary exceptions until every other job has run.
        raise SystemExit(complain(error)) from error
    except OmegaConfBaseException as refusal:
        raise SystemExit(complain(usage_error(refusal))) from refusal


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the application on Hydra's command line (``sys.argv`` unless given) and returns the exit code."""
    # Else Hydra prints what went wrong in words of its own and leaves with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    asked, sys.argv = sys.argv, [sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)]
    try:
        with guarded(sys.argv[1:]):
            _application()
    except BenchError as error:
        return complain(error)
    except KeyboardInterrupt:
        return _cut_short("interrupted, before anything was run", INTERRUPTED)
    except BrokenPipeError:  # such as `--help | head`
        silence_output()
    except Left as left:
        return _cut_short(str(left), left.why.code)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        if not is_refusal(error):
            raise
        return complain(usage_error(error))
    finally:
        sys.argv = asked
    return 0


def _cut_short(how: str, code: int) -> int:
    sys.stdout.flush()
    print(f"\nbench: {how}", file=sys.stderr)
    return code


def complain(error: BenchError) -> int:
    """Says what was wrong and returns the exit code."""
    sys.stdout.flush()
    print(f"bench: {error}", file=sys.stderr, flush=True)
    return error.exit_code


def _sweep_job(job: JobConfig) -> str:
    if job.sweep_dir is None or job.cell_id is None or job.round is None or job.order is None:
        raise BenchError("job: incomplete", "job.* is set by the sweeper, never by hand")
    folder = SweepFolder(Path(job.sweep_dir))
    return run_job(folder, job.cell_id, round_=job.round, order=job.order).status.value


def _single_run(config: Config) -> str:
    """One cell, once, stored as a sweep of one."""
    plan = make_plan([config], rounds=1)
    if plan.config.sweep.dry_run:
        show_plan(plan)
        return Status.OK.value
    finished: list[Status] = []

    def launch(folder: SweepFolder, round_: int, places: Mapping[int, str]) -> list[Status]:
        results = [run_job(folder, cell_id, round_=round_, order=order) for order, cell_id in places.items()]
        finished.extend(result.status for result in results)
        return [result.status for result in results]

    if code := conduct(plan, launch, overrides=list(HydraConfig.get().overrides.task), show=show_run):
        raise SystemExit(code)
    return str(next(iter(finished), Status.UNAVAILABLE))


if __name__ == "__main__":
    # Through the package, so that launchers which send the job elsewhere can import it there by its name.
    from bench.app import main as _main

    sys.exit(_main())
