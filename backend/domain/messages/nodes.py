"""Nodes: their credentials, connections and work."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "node_switched_off": (
        "The node {name} is switched off; an admin can switch it on again.",
        "节点 {name} 已停用；管理员可以重新启用它。",
    ),
    "node_needs_no_credentials": (
        "The node {name} runs on the parent's own machines and needs no credentials; add a remote node instead.",
        "节点 {name} 运行在父节点自己的机器上，不需要凭证；请另外添加一个远程节点。",
    ),
    "node_exists": (
        "There is a node {name!r} already; choose another name.",
        "节点 {name!r} 已存在，请换一个名称。",
    ),
    "node_is_remote": (
        "The node {name!r} is a remote one: its workers run on its own machine; choose another name here.",
        "节点 {name!r} 是远程节点，其工作进程在它自己的机器上运行；请在这里换一个名称。",
    ),
    "bad_node_name": (
        "{name!r} can't be a node's name; use 1 to 100 characters.",
        "{name!r} 不能用作节点名称；请使用 1 到 100 个字符。",
    ),
    "bad_capacity": (
        "A capacity of {capacity} is not possible; use a whole number from 1 to 10000.",
        "容量 {capacity} 无效；请使用 1 到 10000 的整数。",
    ),
    "bad_node_url": (
        "{url!r} can't be a node's address: it must be a complete http:// or https:// URL without a query, of at most 512 characters.",
        "{url!r} 不能用作节点地址：必须是完整的 http:// 或 https:// 网址，不含查询参数，且不超过 512 个字符。",
    ),
    "bad_node_description": (
        "A description may have at most {limit} characters.",
        "描述最多 {limit} 个字符。",
    ),
    "too_large_quota": (
        "A quota may name at most {limit} feeds.",
        "配额最多可指定 {limit} 个订阅源。",
    ),
    "bad_quota_feed": (
        "{feed!r} can't be a feed's id; a quota maps the ids of feeds to whole numbers.",
        "{feed!r} 不是订阅源 ID；配额是从订阅源 ID 到整数的映射。",
    ),
    "bad_quota": (
        "The quota of {feed} is {weight}; use a whole number from 1 to {limit}, the larger one wins.",
        "{feed} 的配额为 {weight}；请使用 1 到 {limit} 的整数，数值大者优先。",
    ),
    "one_parent": (
        "There is one parent node, and it is made by itself; node_type 1 makes a child.",
        "父节点只有一个，由系统自动创建；创建子节点请使用 node_type 1。",
    ),
    "parent_stays": (
        "The parent's own node can't be deleted or switched off: it delivers what was collected.",
        "父节点自身不能删除或停用：推送由它负责。",
    ),
    "node_busy": (
        "Work is running on {name} ({count} allocations); wait until it has ended (draining helps), or force it: the work then goes to other nodes.",
        "{name} 上有任务正在执行（{count} 个分配）；请等待其结束（可先设为排空），或强制删除：任务会转交其他节点。",
    ),
    "node_runs": (
        "The node {name} is running on this installation; stop its process first, or force it.",
        "节点 {name} 正在本系统上运行；请先停止其进程，或强制删除。",
    ),
    "node_made": ("The node is made.", "节点创建成功"),
    "credentials_made": (
        "The credentials are made; the secret is shown this once.",
        "凭证生成成功",
    ),
}
