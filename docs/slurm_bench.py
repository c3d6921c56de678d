"""A bench on a SLURM cluster: one job for each worker, which runs one problem at a time.

``pip install dask-jobqueue``, in the environment of dnnopt, which all nodes see. Where jobs can be submitted::

    python slurm_bench.py --jobs 40 --threads 1 --memory "4 GiB" --time 04:00:00 --partition short \\
        hard --time-limit 600 --output runs

What this script does not know goes to ``dnnopt bench``. Jobs that end, such as at their limit of time, are submitted
anew; their tasks go to other workers. Started again, it does what is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from dask.utils import format_bytes, parse_bytes
from dask_jobqueue.slurm import SLURMCluster

OF_WORKER = parse_bytes("1 GiB")  # memory that Dask and the bench take beside a problem


def main() -> int:
    """Run the bench; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, required=True, help="SLURM's, at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each problem")
    parser.add_argument("--memory", required=True, help="of each problem")
    parser.add_argument("--time", default="01:00:00", help="limit of a job; longer than one problem takes")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument("--interface", help="of the network between nodes, such as ib0")
    own, bench = parser.parse_known_args()
    memory = parse_bytes(own.memory)
    cluster = SLURMCluster(
        cores=own.threads,
        processes=1,
        memory=format_bytes(memory + OF_WORKER),
        walltime=own.time,
        queue=own.partition,
        account=own.account,
        interface=own.interface,
        worker_extra_args=["--nthreads", "1", "--memory-limit", "0"],  # a problem at a time; it has a limit of its own
    )
    with cluster:
        cluster.adapt(minimum_jobs=own.jobs, maximum_jobs=own.jobs)  # as many, whatever ends
        limits = ["--threads", str(own.threads), "--memory-limit", f"{memory} B"]
        command = [sys.executable, "-m", "dnnopt", "bench", *bench, *limits, "--scheduler", cluster.scheduler_address]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
