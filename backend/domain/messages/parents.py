"""What a child says of its parent, and of what it keeps for it."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "parent_away": (
        (
            "The parent does not answer ({detail}). Results are kept and sent when it is back; if it stays away, run"
            " ./cascade child --check."
        ),
        "父节点没有响应（{detail}）。结果已保存，父节点恢复后会自动上报；如果一直无响应，请运行 ./cascade child --check。",
    ),
    "parent_busy": (
        "The parent asks to come again later (HTTP {status}: {detail}).",
        "父节点要求稍后再试（HTTP {status}：{detail}）。",
    ),
    "parent_strange": (
        (
            "Something that is not a Cascade parent answered (HTTP {status}): check cascade.parent_api_url"
            " (CASCADE_PARENT_URL) and the proxies in between."
        ),
        "应答方不是 Cascade 父节点（HTTP {status}）：请检查 cascade.parent_api_url（CASCADE_PARENT_URL）以及中间的代理。",
    ),
    "parent_failed": (
        "The parent met an error of its own with this call ({detail}); its log says which.",
        "父节点处理该请求时发生内部错误（{detail}），详见父节点日志。",
    ),
    "parent_unreadable": (
        (
            "This program can't read the parent's answer ({detail}); the parent may be of another release: install the same one here,"
            " or there."
        ),
        "本程序无法读取父节点的应答（{detail}）；父节点的版本可能不同：请在两端安装相同的版本。",
    ),
    "parent_refused": (
        "The parent refused (HTTP {status}): {detail}",
        "父节点拒绝了请求（HTTP {status}）：{detail}",
    ),
    "credentials_refused": (
        (
            "The parent does not accept this child's credentials: {detail} Nothing more is claimed, finished results are kept."
            " If they were rotated, put the new api_key and api_secret into config.yaml (or CASCADE_API_KEY and"
            " CASCADE_API_SECRET, then restart): the child goes on by itself. A node that was switched off goes on when it is"
            " switched on."
        ),
        (
            "父节点不接受本子节点的凭证：{detail} 已停止认领任务，已完成的结果会保留。如果凭证已轮换，请把新的 api_key 和"
            " api_secret 写入 config.yaml（或设置 CASCADE_API_KEY、CASCADE_API_SECRET 后重启），子节点会自动恢复；如果节点被停用，"
            "重新启用后会自动恢复。"
        ),
    ),
    "no_autonomous_node": (
        "{id!r} is no remote node: only a node that reaches its parent by HTTPS can run message tasks by itself.",
        "{id!r} 不是远程节点：只有通过 HTTPS 连接父节点的节点才能自主执行消息任务。",
    ),
    "not_the_autonomous_node": (
        "Message task {name} does not name this node as its autonomous node (any more); its results are not taken.",
        "消息任务 {name} 的自主节点不是（或不再是）本节点；不接受其结果。",
    ),
    "tick_ahead": (
        "The tick {planned_at} lies ahead of the parent's clock; correct this machine's clock.",
        "计划时间 {planned_at} 晚于父节点的时钟；请校准本机时钟。",
    ),
    "journal_unusable": (
        "The journal {path} can't be used ({detail}): free space or correct its permissions. Nothing is claimed until then.",
        "无法使用日志文件 {path}（{detail}）：请释放磁盘空间或修正权限。在此之前不会认领任务。",
    ),
    "bad_ca_file": (
        "The certificates in {path} can't be read ({detail}); cascade.ca_file (CASCADE_CA_FILE) must name a PEM file.",
        "无法读取 {path} 中的证书（{detail}）；cascade.ca_file（CASCADE_CA_FILE）必须指向 PEM 文件。",
    ),
}
