"""The ideals program on published workloads: contiguous optima, as the authors' program finds them."""

import pytest
from shared_data import shared_file

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.inputs.msr import read_msr
from dnnopt.methods.exact import ideals

OPTIMA = {"bert24_inference": 17.7899, "bert24_training": 41.7458, "gnmt_inference": 32.9107}


@pytest.mark.parametrize("name", OPTIMA)
def test_contiguous_optima_are_the_published_ones(name):
    problem = read_msr(shared_file(f"msr/throughput/{name}.json"), contiguous=True)
    result = dp.solve(problem, method="ideals")
    assert result.status == "optimal"
    assert 1e3 * result.objective == pytest.approx(OPTIMA[name], abs=5e-5)


def test_what_need_not_be_contiguous_is_refused():
    problem = read_msr(shared_file("msr/throughput/bert24_inference.json"))
    assert ideals.refuses(compile_problem(problem)) == "layers that need not be contiguous"
