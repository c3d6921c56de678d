"""Records cannot be changed, at any depth, and are hashable; a changed copy is a new record."""

import copy
import pickle

import pytest

import dnnopt as dp
from dnnopt.base.frozen import FrozenDict

PROBLEM = dp.load("small/001")
PLAN = dp.Plan(placement={"net": {"a": "pi", "b": "nx"}})
MEMORY = dp.Memory(limits={"pi": 1.0})
PROFILE = dp.Profile(time={"net": {"a": {"pi": 1.0, "nx": None}}})
RECORDS = [PROBLEM, PROBLEM.networks[0], PROBLEM.platform, PLAN, MEMORY, PROFILE]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_hashable_pickle_and_copy(record):
    for again in (pickle.loads(pickle.dumps(record)), copy.deepcopy(record), record.replace()):
        assert again == record
        assert hash(again) == hash(record)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_field_cannot_be_set_and_the_error_says_what_to_do(record):
    with pytest.raises(dp.InputError, match=r"^name: a \w+ cannot be changed; its 'replace' gives a changed copy$"):
        record.name = "other"


@pytest.mark.parametrize(
    "change",
    [
        lambda: PLAN.placement.update(net={}),
        lambda: PLAN.placement["net"].__setitem__("a", "nx"),
        lambda: PLAN.placement["net"].pop("a"),
        lambda: MEMORY.limits.clear(),
        lambda: MEMORY.limits.setdefault("nx", 2.0),
        lambda: dp.Memory().limits.setdefault("nx", 2.0),
        lambda: PROFILE.time["net"]["a"].popitem(),
        lambda: PROFILE.time["net"].__delitem__("a"),
        lambda: PROFILE.energy.__ior__({"net": {}}),
    ],
)
def test_what_records_hold_cannot_be_changed(change):
    before = [hash(record) for record in RECORDS]
    with pytest.raises(dp.InputError, match="cannot be changed"):
        change()
    assert [hash(record) for record in RECORDS] == before


def test_fields_of_results_and_of_what_they_hold_cannot_be_set_or_deleted():
    result = dp.solve(PROBLEM, method="greedy")
    for found, field in ((result, "plan"), (result.evaluation, "metrics"), (result.trace[0], "time")):
        expected = rf"^{field}: an? {type(found).__name__} cannot be changed; dataclasses.replace gives a changed copy$"
        with pytest.raises(dp.InputError, match=expected):
            setattr(found, field, 3)
        with pytest.raises(dp.InputError, match=expected):
            delattr(found, field)
    with pytest.raises(dp.InputError, match=r"^objective: a Result cannot be changed"):
        result.objective = 3


def test_a_field_of_a_record_cannot_be_deleted():
    with pytest.raises(dp.InputError, match=r"^name: a Problem cannot be changed; its 'replace' gives a changed copy$"):
        del PROBLEM.name


def test_a_frozen_dictionary_is_a_dictionary():
    frozen = FrozenDict({"a": 1})
    assert frozen == {"a": 1}
    assert {**frozen, "b": 2} == frozen | {"b": 2} == {"a": 1, "b": 2}
    assert hash(frozen) == hash(FrozenDict({"a": 1}))


def test_results_and_evaluations_are_hashable():
    result = dp.solve(PROBLEM, method="greedy")
    assert len({result, result, result.evaluation, dp.evaluate(PROBLEM, result)}) == 2
