"""Store, nodes, queues and workers."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "work_failed": ("The work failed: {detail}", "执行失败：{detail}"),
    "held_connection": (
        "A database connection is held during the long work of phase 2; close the session before the work starts.",
        "第二阶段（长时间工作）期间仍占用数据库连接；请在工作开始前关闭会话。",
    ),
    "run_not_ended": (
        "{name} was skipped: its run {run_id} has not ended. Wait for its end (./cascade status shows why it waits), or set the task's overlap to queue or allow.",
        "{name} 已跳过：运行 {run_id} 尚未结束。请等待其结束（./cascade status 显示等待原因），或把任务的 overlap 改为 queue 或 allow。",
    ),
    "deadline_exceeded": (
        "The work did not end within its limit of {seconds} s and was stopped.",
        "工作超过 {seconds} 秒的时限，已被停止。",
    ),
    "lost": (
        "The worker stopped renewing its lease (it died or froze); the work goes to another one.",
        "执行进程不再续租（已退出或卡死）；任务将交给其他进程。",
    ),
    "unexpected_error": (
        "An unexpected error ended the work: {detail}",
        "意外错误导致工作中止：{detail}",
    ),
    "no_redis": (
        "There is no Redis address: start ./cascade up, or set REDIS_URL.",
        "没有 Redis 地址：请启动 ./cascade up，或设置 REDIS_URL。",
    ),
    "unknown_schema": (
        "The database's schema is newer than this program, or not Cascade's; update the program or choose another database.",
        "数据库结构比本程序新，或不是 Cascade 的；请升级程序或换一个数据库。",
    ),
    "schema_behind": (
        "The database's schema is not up to date; run ./cascade db upgrade.",
        "数据库结构不是最新；请运行 ./cascade db upgrade。",
    ),
    "old_database": (
        "The database server is {found}; Cascade needs MariaDB 10.6 or MySQL 8.0 at least.",
        "数据库服务器是 {found}；Cascade 至少需要 MariaDB 10.6 或 MySQL 8.0。",
    ),
    "no_enabled_task": (
        "There is no enabled message task to dispatch; add one first.",
        "没有已启用的消息任务可分发；请先添加一个。",
    ),
    "no_lane": (
        "This process is no Cascade worker; start workers with ./start_workers.sh, not with rq worker.",
        "此进程不是 Cascade 工作进程；请用 ./start_workers.sh 启动，而不是 rq worker。",
    ),
    "node_check_died": (
        "The check of Redis and the database ended without an answer; the lines above say why.",
        "对 Redis 和数据库的检查没有给出结果；原因见上面的日志。",
    ),
    "refused": (
        "{sentence}",
        "{sentence}",
    ),
    "foreign_queue": (
        "Node {node} serves {own}; workers for {name} belong to that node: start_workers.sh --node NAME.",
        "节点 {node} 服务于 {own}；{name} 的工作进程属于它自己的节点：start_workers.sh --node NAME。",
    ),
    "no_such_source": (
        "There is no source for feeds of kind {kind!r}; this installation has {known}.",
        "没有处理 {kind!r} 类订阅源的插件；本机已安装：{known}。",
    ),
    "no_such_notifier": (
        "The notifier {name!r} is not installed or could not be loaded; the log at the start says why.",
        "推送插件 {name!r} 未安装或无法加载；原因见启动日志。",
    ),
    "no_result": (
        "The work ended without a result for this feed; it is tried again. If it stays so, the feed was removed meanwhile.",
        "该订阅源的采集没有返回结果，将会重试；如果一直如此，说明它已被删除。",
    ),
    "answer_lost": (
        "The message was being sent when its time was over; nobody knows whether it arrived.",
        "消息发送途中超时，无法确认是否送达。",
    ),
    "publish_answer_lost": (
        "The article was being published when this process had to end; the platform is asked whether it is there.",
        "文章发布途中进程必须退出；系统会向平台查询是否已发布。",
    ),
    "submission_late": (
        "Too much time passed between the decision to publish and the call; nothing was sent, and the platform is asked before it is tried again.",
        "决定发布与实际调用之间间隔过长，未发送任何内容；重试前会先向平台查询。",
    ),
    "no_such_publisher": (
        "This node can't publish on {platform}; it has {known}. Another node may, or install the plug-in there and start it again.",
        "此节点无法发布到 {platform}；已安装：{known}。可由其他节点发布，或安装插件后重启节点。",
    ),
    "wildcard_queue": (
        "RQ does not serve wildcards, so nothing would ever take work from {name!r}. Name the queues themselves: {example}",
        "RQ 不支持通配符，{name!r} 中的任务永远不会被执行。请写出具体队列名：{example}",
    ),
    "unknown_queue": (
        "Nothing enqueues to {name!r}. The queues that exist: {existing}",
        "没有任何任务会进入队列 {name!r}。现有队列：{existing}",
    ),
    "bad_queue_name": (
        "{name!r} is not a queue name: use letters, digits, '-' and ':' as in node:beijing-1.",
        "{name!r} 不是合法的队列名：请使用字母、数字、“-” 和 “:”，例如 node:beijing-1。",
    ),
}
