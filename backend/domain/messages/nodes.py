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
    # reaching a node: what went wrong, and what to do
    "connection_refused": (
        "{host} refuses the connection: nothing listens on that port.",
        "{host} 拒绝连接：该端口没有程序在监听。",
    ),
    "node_unauthorized": (
        "{host} answers, but does not accept these credentials (HTTP {status}). {detail}",
        "{host} 有响应，但不接受该凭证（HTTP {status}）。{detail}",
    ),
    "node_signature_refused": (
        "{host} answers, but does not accept the parent's signature (HTTP {status}). {detail}",
        "{host} 有响应，但不接受父节点的签名（HTTP {status}）。{detail}",
    ),
    "node_route_missing": (
        "{host} answers, but not as a node: it does not know the address (HTTP {status}).",
        "{host} 有响应，但不是节点：该地址不存在（HTTP {status}）。",
    ),
    "node_moved": (
        "{host} answers with a redirect (HTTP {status}), which is not followed: it would carry the secret elsewhere.",
        "{host} 返回重定向（HTTP {status}），不会跟随：否则密钥会被带到别处。",
    ),
    "node_failing": (
        "{host} answers with a fault of its own (HTTP {status}). {detail}",
        "{host} 自身出错（HTTP {status}）。{detail}",
    ),
    "node_answers_oddly": (
        "{host} answers with HTTP {status}, but not as a node does. {detail}",
        "{host} 返回 HTTP {status}，但不像节点的响应。{detail}",
    ),
    "no_node_address": (
        "The node has neither an api_url nor a callback_url.",
        "该节点既没有 api_url，也没有 callback_url。",
    ),
    "no_node_credentials": (
        "The node has no credentials yet, so nothing can be signed for it.",
        "该节点还没有凭证，无法签名。",
    ),
    "incomplete_credentials": (
        "is needed as well: send api_key and api_secret together, or neither of them",
        "也需要提供：api_key 和 api_secret 须同时给出，或都不给",
    ),
    "hint_connection_refused": (
        "Start the program there, and check host and port of the address.",
        "请启动对方的程序，并检查地址中的主机和端口。",
    ),
    "hint_dns_failed": (
        "Check the spelling of the host name, and the DNS of the parent's machine.",
        "请检查主机名拼写，以及父节点所在机器的 DNS。",
    ),
    "hint_tls_failed": (
        "Use http:// if the port speaks no TLS, else a certificate that is valid for that host name.",
        "如果该端口不是 TLS，请使用 http://；否则请使用对该主机名有效的证书。",
    ),
    "hint_timed_out": (
        "Check firewalls between the parent and that machine, and whether its program hangs.",
        "请检查父节点与该机器之间的防火墙，以及对方程序是否卡住。",
    ),
    "hint_connect_failed": (
        "Check that the machine runs and that a route leads there.",
        "请检查该机器是否运行，以及网络是否可达。",
    ),
    "hint_egress_refused": (
        "The parent calls no private addresses unless they are allowed: set {setting} and restart.",
        "父节点默认不访问内网地址；如需允许，请设置 {setting} 并重启。",
    ),
    "hint_node_unauthorized": (
        "Compare key and secret; make a new pair with POST /nodes/ID/credentials if the secret was lost.",
        "请核对 key 和 secret；如果 secret 已丢失，请用 POST /nodes/ID/credentials 重新生成。",
    ),
    "hint_node_signature_refused": (
        "Give the child the secret of its current pair, and check that both clocks are right.",
        "请在子节点配置当前凭证的 secret，并检查双方时钟是否准确。",
    ),
    "hint_node_route_missing": (
        "Check the port, and that the address has no path of its own: http://HOST:PORT.",
        "请检查端口，并确认地址中没有多余路径：http://主机:端口。",
    ),
    "hint_node_moved": (
        "Enter the address that the redirect leads to, often https:// instead of http://.",
        "请填写重定向之后的地址，通常是把 http:// 改为 https://。",
    ),
    "hint_node_failing": (
        "Look into the log of that program.",
        "请查看对方程序的日志。",
    ),
    "hint_not_cascade": (
        "Another program seems to answer there; check host and port.",
        "该地址似乎是其他程序在响应；请检查主机和端口。",
    ),
    "hint_no_node_address": (
        "Set the node's api_url, or send one with this request.",
        "请设置节点的 api_url，或在本请求中给出。",
    ),
    "hint_no_node_credentials": (
        "Make them with POST /nodes/ID/credentials, and give them to the child.",
        "请用 POST /nodes/ID/credentials 生成，并配置到子节点。",
    ),
    # signatures of notifications
    "bad_signature": (
        "The request is not signed with this node's secret.",
        "该请求未使用本节点的密钥签名。",
    ),
    "stale_signature": (
        "The signature is more than {seconds} s away from this machine's time; check both clocks.",
        "签名时间与本机时间相差超过 {seconds} 秒；请检查双方时钟。",
    ),
    "repeated_signature": (
        "This request has been received already.",
        "该请求已经收到过。",
    ),
    "no_such_node": (
        "There is no node {name}; ./cascade node list shows who exists.",
        "没有节点 {name}；可用 ./cascade node list 查看。",
    ),
    "nothing_to_set": (
        "Say what to change; ./cascade node set --help lists it.",
        "请指定要修改的内容；./cascade node set --help 列出了可选项。",
    ),
}
