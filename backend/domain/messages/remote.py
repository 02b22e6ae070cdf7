"""Remote nodes of our own: joining, versions and capabilities, starts, and work that came too late."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "protocol_too_old": (
        "This node speaks protocol {protocol} and its parent understands {oldest} and later; install a newer release of Cascade on the node.",
        "该节点使用的协议版本为 {protocol}，而父节点只支持 {oldest} 及以上版本；请在节点上安装更新版本的 Cascade。",
    ),
    "node_too_old_for_kind": (
        "it speaks protocol {protocol}, and {kind} work needs {since}: install a newer release of Cascade on it",
        "其协议版本为 {protocol}，而 {kind} 任务需要 {since}：请在该节点上安装更新版本的 Cascade",
    ),
    "node_without_kind": (
        "it does no {kind} work",
        "它不执行 {kind} 任务",
    ),
    "node_without_platform": (
        "it has no publisher for {platform}",
        "它没有 {platform} 的发布插件",
    ),
}
