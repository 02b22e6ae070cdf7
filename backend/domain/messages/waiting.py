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
    "why_run_queued": (
        "An earlier run of its message task has not ended; this one starts by itself when it has.",
        "该消息任务的上一次运行尚未结束；结束后本次会自动开始。",
    ),
    "why_backoff": (
        "Not before {moment}, because attempt {attempt} failed: {error}.",
        "{moment} 之前不会重试，因为第 {attempt} 次尝试失败：{error}。",
    ),
    "why_not_before": (
        "Not before {moment}: the other side asked for a pause.",
        "{moment} 之前不会继续：对方要求暂停。",
    ),
    "why_host_held": (
        "Not before {moment}: {host} is to be left alone until then.",
        "{moment} 之前不会继续：在此之前不应访问 {host}。",
    ),
    "why_host_busy": (
        "Its host has as many requests as it may have at a time (CASCADE_HOST_CONCURRENCY); the next end makes room.",
        "同一主机同时采集数已达上限（CASCADE_HOST_CONCURRENCY）；其中之一结束后会继续。",
    ),
    "why_no_beat": (
        "No beat runs, so nothing is planned; start ./cascade up.",
        "没有运行中的 beat，不会分配任务；请运行 ./cascade up。",
    ),
    "why_no_room": ("It waits for a node: {why}.", "等待节点：{why}。"),
    "why_next_plan": (
        "A node has room: the next plan places it, within a second or two.",
        "节点有空位：一两秒内的下一次分配会安排它。",
    ),
    "why_dispatch_later": (
        "The runs are made, and a beat places their items soon: {error}",
        "运行记录已创建，beat 稍后会分配：{error}",
    ),
    "why_receiver_limit": (
        "The receiver got {limit} messages within a minute, its limit; the next one goes out within a minute.",
        "该接收方一分钟内已收到 {limit} 条消息，达到上限；一分钟内会继续发送。",
    ),
    "why_sending_full": (
        "All places for sending are taken: {assigned}/{capacity}; it goes on as they get free.",
        "发送名额已用完：{assigned}/{capacity}；有空位时继续。",
    ),
    "why_next_sending": (
        "Nothing hinders it: the next plan gives it to the parent's workers, within a second or two.",
        "没有阻碍：一两秒内的下一次分配会交给父节点的 worker。",
    ),
    "why_node_deleted": (
        "Its node was deleted; cancel it, then dispatch the task again.",
        "它的节点已被删除；请取消它，然后重新下发任务。",
    ),
    "why_node_gone": (
        "Its node {node} is gone ({why}); a beat plans the work again on another node.",
        "它的节点 {node} 已离线（{why}）；beat 会把工作重新分配到其他节点。",
    ),
    "why_parent_gone": (
        "The parent's own workers are gone ({why}); start ./cascade up or ./start_workers.sh.",
        "父节点自己的 worker 已离线（{why}）；请运行 ./cascade up 或 ./start_workers.sh。",
    ),
    "why_unclaimed": (
        "It waits until the node {node} fetches it.",
        "等待节点 {node} 领取。",
    ),
    "why_workerless": (
        "The node {node} is there, but none of its workers runs; look at its log, or start ./start_workers.sh --node {node}.",
        "节点 {node} 在线，但没有运行中的 worker；请查看其日志，或运行 ./start_workers.sh --node {node}。",
    ),
    "why_parent_workerless": (
        "None of the parent's own workers runs ({node}); look at the log, or start ./start_workers.sh.",
        "父节点（{node}）没有运行中的 worker；请查看日志，或运行 ./start_workers.sh。",
    ),
    "why_workers_busy": (
        "It waits for a free worker of the node {node}, of which {workers} run.",
        "等待节点 {node} 的空闲 worker（运行中 {workers} 个）。",
    ),
    "why_sender_busy": (
        "It waits for a free worker of the parent ({node}), of which {workers} run.",
        "等待父节点（{node}）的空闲 worker（运行中 {workers} 个）。",
    ),
    "why_claimed": (
        "The node {node} fetched it and has not begun; if that stays so until {moment}, it is planned again.",
        "节点 {node} 已领取但尚未开始；若到 {moment} 仍未开始，将重新分配。",
    ),
    "why_executing": (
        "The node {node} has been working on it since {moment}.",
        "节点 {node} 自 {moment} 起正在执行。",
    ),
    "why_stopping": (
        "The node {node} is asked to stop; it hears that with its next renewal or checkpoint.",
        "已要求节点 {node} 停止；它会在下一次续租或检查点时得知。",
    ),
    "why_lost": (
        "Its worker on the node {node} stopped renewing its lease; a beat plans the work again within seconds.",
        "节点 {node} 上的 worker 不再续租；beat 会在几秒内重新分配。",
    ),
    "why_lost_later": (
        "Its worker on the node {node} stopped renewing its lease; because renewals could not arrive lately, it is recovered after {moment}.",
        "节点 {node} 上的 worker 不再续租；由于此前续租无法送达，{moment} 之后才会恢复。",
    ),
    "why_lost_no_beat": (
        "Its worker on the node {node} stopped renewing its lease, and no beat runs that would plan it again; start ./cascade up.",
        "节点 {node} 上的 worker 不再续租，且没有运行中的 beat 来重新分配；请运行 ./cascade up。",
    ),
    "why_expanding": (
        "Its items are still being made, {count} so far.",
        "仍在生成采集项，目前 {count} 个。",
    ),
    "why_run_open": (
        "{open} of {known} items have not ended; the oldest: {first}",
        "{known} 项中还有 {open} 项未结束；最早的一项：{first}",
    ),
    "why_run_closing": (
        "Every item has ended; a beat closes the run within a second or two.",
        "所有采集项都已结束；beat 会在一两秒内关闭本次运行。",
    ),
    "why_ended": (
        "Nothing waits: it is {status}. {detail}",
        "没有等待：状态为 {status}。{detail}",
    ),
}
