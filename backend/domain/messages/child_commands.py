"""The commands of a child's machine."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "child_settings": (
        "This child can't start: {count} of its settings must be mended. ./cascade child join URL TOKEN writes what a new child needs.{detail}",
        "子节点无法启动，需改正 {count} 项设置。新子节点可用 ./cascade child join URL TOKEN 写入所需设置。{detail}",
    ),
    "credential_placeholder": (
        "the example of the documentation stands there; put in what the parent printed",
        "仍是文档中的示例值；请填写父节点输出的内容",
    ),
    "credential_malformed": (
        "holds a space, a colon or other signs that no credential has; copy it once more",
        "含有空格、冒号等凭证中不会出现的字符；请重新复制",
    ),
    "config_unwritable": (
        "{path} can't be written ({detail}); give this user the right to, or name another file with --config.",
        "无法写入 {path}（{detail}）；请授予写权限，或用 --config 指定别的文件。",
    ),
    "parent_too_old": (
        "The parent at {url} is an older Cascade (or a WeRSS) that has no remote nodes of this kind; install a newer release there.",
        "{url} 的父节点版本较旧（或为 WeRSS），不支持此类远程节点；请先升级父节点。",
    ),
    "join_refused": (
        "The parent does not let this machine join: {detail}",
        "父节点拒绝本机加入：{detail}",
    ),
    "child_not_ready": ("This child can't work now: {detail}", "子节点当前无法工作：{detail}"),
    "child_node_silent": (
        "its node process does not run; its log says why",
        "节点进程未运行；原因见其日志",
    ),
    "child_parent_away": (
        "the parent has not answered for {seconds} s; run ./cascade child --check",
        "父节点已 {seconds} 秒没有响应；请运行 ./cascade child --check",
    ),
    "child_no_workers": ("no worker process lives; the log says why", "没有存活的工作进程；原因见日志"),
}
