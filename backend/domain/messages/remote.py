"""Remote nodes of our own: joining, versions and capabilities, starts, and work that came too late."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "protocol_too_old": (
        "This node speaks protocol {protocol} and its parent understands {oldest} and later; install a newer release of Cascade on the node.",
        "该节点使用的协议版本为 {protocol}，而父节点只支持 {oldest} 及以上版本；请在节点上安装更新版本的 Cascade。",
    ),
    "join_token_made": (
        "The token is made and shown this once: run `./cascade child join URL TOKEN` on the node's machine before it expires.",
        "令牌已创建，仅显示这一次：请在它过期之前在节点机器上运行 `./cascade child join URL TOKEN`。",
    ),
    "joined": (
        "The node has joined; its secret is shown this once.",
        "节点已加入；其密钥仅显示这一次。",
    ),
    "join_token_unknown": (
        "There is no such join token; copy it whole, or make a new one on the parent: `./cascade node token NAME`.",
        "没有这个加入令牌；请完整复制，或在父节点上重新创建：`./cascade node token NAME`。",
    ),
    "join_token_used": (
        "This join token was used already, and each works once; make a new one on the parent: `./cascade node token NAME`.",
        "该加入令牌已被使用，每个令牌只能用一次；请在父节点上重新创建：`./cascade node token NAME`。",
    ),
    "join_token_expired": (
        "This join token has expired; make a new one on the parent: `./cascade node token NAME`.",
        "该加入令牌已过期；请在父节点上重新创建：`./cascade node token NAME`。",
    ),
    "join_locked": (
        "Too many wrong join tokens came from this address; try again in {seconds} s.",
        "来自该地址的错误加入令牌过多；请在 {seconds} 秒后重试。",
    ),
    "node_needs_no_token": (
        "The node {name} runs on the parent's own machines and joins by itself; choose another name for a remote one.",
        "节点 {name} 运行在父节点自己的机器上，会自行加入；请为远程节点另选名称。",
    ),
    "broken_gzip": (
        "The body is not complete gzip; compress it again and send it once more.",
        "请求体不是完整的 gzip 数据；请重新压缩后再次发送。",
    ),
    "too_large_unpacked": (
        "The body holds more than {megabytes} MB once it is unpacked; send it in smaller parts.",
        "请求体解压后超过 {megabytes} MB；请分成较小的部分发送。",
    ),
    "work_superseded": (
        "This came too late: allocation {id} is not this execution's any more, and other work has taken its place. What was useful was kept; don't send it again.",
        "提交得太晚：分配任务 {id} 已不属于本次执行，已由其他任务接替。其中有用的内容已保留，请勿再次发送。",
    ),
    "chunks_missing": (
        "Of the {of} chunks of this outcome {missing} are not here; send all of them again, then settle.",
        "该结果共 {of} 个分块，其中 {missing} 个尚未收到；请全部重新发送后再提交。",
    ),
    "chunks_broken": (
        "The chunks of this outcome don't match its SHA-256; send all of them again, then settle.",
        "该结果的分块与其 SHA-256 不符；请全部重新发送后再提交。",
    ),
    "too_much_staged": (
        "This node has {megabytes} MB of unsettled chunks here already; settle them first, or try again later.",
        "该节点已有 {megabytes} MB 未提交的分块；请先提交它们，或稍后再试。",
    ),
    "outcome_of_another": (
        "The outcome names allocation {named}, attempt and execution of which are not the ones it was sent for.",
        "结果所指的分配任务 {named} 与提交时的分配任务、尝试次数或执行标识不一致。",
    ),
    "unknown_checkpoint": (
        "This parent can't read the checkpoint; the node may be newer than its parent: {detail}",
        "父节点无法读取该检查点；节点版本可能比父节点新：{detail}",
    ),
    "instance_replaced": (
        "Another start of the node {name} has taken this one's place; this process gets no more work.",
        "节点 {name} 的另一次启动已取代本进程；本进程不会再得到任务。",
    ),
    "instance_refused": (
        "Another process runs as the node {name}: on {host}, last heard of {seconds} s ago. Stop it, or join this machine as a node of its own with a new token.",
        "已有另一个进程以节点 {name} 的身份运行：位于 {host}，{seconds} 秒前有过消息。请停止它，或用新的令牌把这台机器作为另一个节点加入。",
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
