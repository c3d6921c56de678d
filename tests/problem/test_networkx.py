"""A network as a graph of networkx."""

import pytest

import dnnopt as dp


def test_layers_are_nodes_and_each_consumer_of_a_tensor_is_an_edge():
    networkx = pytest.importorskip("networkx")
    network = dp.network("squeezenet")
    graph = network.to_networkx()
    assert isinstance(graph, networkx.MultiDiGraph)
    assert set(graph) - {"input", "output"} == network.layer_names
    assert graph.number_of_edges() == sum(len(tensor.consumers) for tensor in network.tensors)
    order = [network.layers[index].name for index in network.order]
    assert all(order.index(a) < order.index(b) for a, b in graph.edges() if a != "input" and b != "output")
    tensor = next(one for one in network.tensors if one.producer != "input")
    edge = graph.edges[tensor.producer, tensor.consumers[0], tensor.name]
    assert edge == {"bytes": tensor.bytes, "sensitivity": tensor.sensitivity}
    assert graph.nodes[order[0]]["flops"] == network.layers[network.order[0]].flops
