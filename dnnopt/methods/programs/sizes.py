"""Tensors of several sizes in the tree program: what the cheapest entry of each costs.

Which form a tensor has decides nothing but what it costs to send it, given the host that makes it and the devices that
use it. So the form is chosen there, and the program needs no more states than without forms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.problem.forms import Form

_ROWS = ("entries", "forms", "made", "encode", "decode", "sent", "barred")


def groups_of(c: CompiledProblem) -> dict[int, list[int]]:
    """Return the entries of each tensor that has several for all of its consumers, by the first of them."""
    if c.made is None:
        return {}
    by_number: dict[int, list[int]] = {}
    for entry in np.flatnonzero(c.tensor_whole & (c.producer >= 0)).tolist():
        by_number.setdefault(int(c.tensor_number[entry]), []).append(entry)
    return {entries[0]: entries for entries in by_number.values() if len(entries) > 1}


def refuses(c: CompiledProblem) -> str | None:
    """Return of which tensors with several sizes the form cannot be chosen so, or None."""
    several = groups_of(c)
    if np.isin(c.tensor_number[~c.tensor_whole], c.tensor_number[list(several)]).any():
        return "forms of a tensor that inputs need in different shares"
    if c.barred_moves is not None:
        barred = c.edge_tensor[c.barred_moves.any(axis=1)]
        alone = ~np.isin(c.tensor_number[barred], c.tensor_number[list(several)])
        if (c.fan_out[barred[alone]] > 2).any():
            return "a tensor with several consumers that may not be sent"
    if c.transport == "per_edge" and (c.fan_out[list(several)] > 1).any():
        return "forms of a tensor that is sent several times"
    return None


@dataclass(frozen=True, eq=False)
class Sizes:
    """What the entries of tensors with several sizes cost.

    Attributes
    ----------
    c : CompiledProblem
    entries : array (n,)
    forms : tuple of Form or None (n,)
    made : array (n, H)
        Which hosts may make each.
    encode, decode : array (n, D)
        What it costs to encode it on a device if it is sent, and to decode it on one to which it is sent.
    sent : array (n,)
        What it costs besides if it is sent.
    barred : array (n, D)
        Devices to which it may not be sent.
    """

    c: CompiledProblem
    entries: Index
    forms: tuple[Form | None, ...]
    made: Mask
    encode: Array
    decode: Array
    sent: Array
    barred: Mask

    @classmethod
    def of(cls, c: CompiledProblem, on_event: Array) -> Sizes:
        """Return them for an objective that charges events (X,); none of these is an exposure."""
        listed = [entry for entries in groups_of(c).values() for entry in entries]
        entries, devices, hosts = np.array(listed, dtype=np.int64), len(c.device_names), len(c.host_names)
        row = np.full(len(c.tensor_names), -1)
        row[entries] = np.arange(len(entries))
        encode, decode = np.zeros((len(entries), devices)), np.zeros((len(entries), devices))
        sent = np.zeros(len(entries))
        events = c.events
        charged = np.flatnonzero((on_event > 0) & np.isin(np.arange(len(events)), events.event))
        of_event = row[c.edge_tensor[events.edge[np.searchsorted(events.event, charged)]]]
        at, anywhere = events.device[charged], events.device[charged] < 0
        encoding = ~anywhere & ~events.origins[charged].all(axis=1)
        decoding = ~anywhere & ~encoding
        np.add.at(sent, of_event[anywhere], on_event[charged[anywhere]])
        np.add.at(encode, (of_event[encoding], at[encoding]), on_event[charged[encoding]])
        np.add.at(decode, (of_event[decoding], at[decoding]), on_event[charged[decoding]])
        assert c.made is not None
        able = (c.made[entries] & c.allowed[c.producer[entries]]).reshape(len(entries), -1, hosts)
        usable = np.asarray(able.any(axis=1))
        barred = np.zeros((len(entries), devices), dtype=bool)
        if c.barred_moves is not None:
            mine = np.flatnonzero(row[c.edge_tensor] >= 0)
            edge, pair = np.nonzero(c.barred_moves[mine])
            barred[row[c.edge_tensor[mine[edge]]], c.pair_destination[pair]] = True
        forms = tuple(_form_of(c, entry) for entry in listed)
        return cls(c, entries, forms, usable, encode, decode, sent, barred)

    def costs(self, beta: Array, members: Mask, uses: Array) -> Array:
        """Return what each entry costs from each host to each set of devices (n, H, M); infinite: impossible.

        Parameters
        ----------
        beta : array (T, L)
        members : array (M, D)
            The devices of each set; what is on the host's own device is not sent.
        uses : array (D, M, L)
            How often each link is used from a device to a set.
        """
        c, at = self.c, self.c.host_device
        others = np.asarray(members[None] & ~np.eye(len(c.device_names), dtype=bool)[:, None])  # (D, M, D)
        leaves = np.asarray(others.any(axis=2))[at].astype(float)
        copies = np.einsum("tl,iml->tim", beta[self.entries], uses)[:, at]
        coded = (self.encode[:, at] + self.sent[:, None])[:, :, None] * leaves
        decoded = np.einsum("tj,imj->tim", self.decode, others.astype(float))[:, at]
        routed = c.by_devices(c.pair_routed, same=True)
        blocked = np.einsum("tj,imj->tim", self.barred.astype(float), others.astype(float))[:, at] > 0
        blocked |= np.asarray((others & ~routed[:, None]).any(axis=2))[at]
        return np.where(blocked | ~self.made[:, :, None], np.inf, copies + coded + decoded)

    def executors(self, hosts: Index, beta: Array, members: Mask, uses: Array) -> Index:
        """Return the executors (N,) of nodes on hosts (N,), each with the cheapest form of what it makes.

        `members` and `uses` are those of all sets of devices, numbered by their bits.
        """
        c, found = self.c, hosts.copy()
        bit = 1 << c.host_device[hosts]
        chosen: dict[int, dict[int, Form | None]] = {}
        place = 0
        for first, entries in groups_of(c).items():
            node, users = int(c.producer[first]), c.edge_consumer[c.edge_tensor == first]
            destinations = int(np.bitwise_or.reduce(bit[users]))
            rows = range(place, place + len(entries))
            place += len(entries)
            some = replace(self, **{name: getattr(self, name)[rows.start : rows.stop] for name in _ROWS})
            costs = some.costs(beta, members[[destinations]], uses[:, [destinations]])[:, hosts[node], 0]
            chosen.setdefault(node, {})[int(c.tensor_number[first])] = self.forms[rows[int(costs.argmin())]]
        for node, forms in chosen.items():
            if node in c.choices:
                options = c.choices[node]
                fits = [all(forms[n] is option[n] for n in option if n in forms) for option in options]
                found[node] += fits.index(True) * len(c.host_names)
        return found

    def cheapest(self, costs: Array) -> dict[int, Array]:
        """Return the least of the entries' costs (n, ...) of each tensor, by its first entry."""
        groups = groups_of(self.c)
        starts = np.cumsum([0, *map(len, groups.values())])[:-1]
        return dict(zip(groups, np.minimum.reduceat(costs, starts, axis=0), strict=True)) if groups else {}


def _form_of(c: CompiledProblem, entry: int) -> Form | None:
    """Return the form in which an entry is sent; None: as it is."""
    options = c.choices.get(int(c.producer[entry]))
    if options is None:
        return None
    assert c.made is not None
    first = int(c.made[entry].argmax()) // len(c.host_names)
    return options[first].get(int(c.tensor_number[entry]))
