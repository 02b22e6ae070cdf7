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
}
