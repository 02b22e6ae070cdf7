"""Why things wait: nodes first, then items, allocations, deliveries and runs."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "node_off": ("switched off", "已停用"),
    "node_not_running": ("not running", "未运行"),
    "node_silent": ("silent for {seconds} s", "已失联 {seconds} 秒"),
    "node_workerless": ("none of its workers runs", "没有运行中的 worker"),
    "node_draining": ("draining", "排空中"),
    "node_full": ("full: {in_flight}/{max_capacity}", "已满：{in_flight}/{max_capacity}"),
    "no_node": (
        "there is no node; add one with ./cascade node add NAME, or start ./cascade up",
        "没有节点；请用 ./cascade node add NAME 添加，或启动 ./cascade up",
    ),
    "no_node_for_wechat": (
        "no node collects feeds of kind {kind}; add a WeRSS child with ./cascade node add NAME",
        "没有节点能采集 {kind} 类订阅源；请用 ./cascade node add NAME 添加 WeRSS 子节点",
    ),
    "no_node_for_kind": (
        "no node collects feeds of kind {kind}; run a node whose installation has the source plug-in for it",
        "没有节点能采集 {kind} 类订阅源；请运行装有相应来源插件的节点",
    ),
    "node_hindered": ("{name}: {why}", "{name}：{why}"),
    "nodes_hindered": ("{nodes}", "{nodes}"),
    "more_nodes_hindered": ("{nodes}; and {count} more nodes", "{nodes}；另有 {count} 个节点"),
}
