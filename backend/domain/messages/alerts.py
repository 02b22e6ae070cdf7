"""Alerts: what happened, and what a person should do."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "alert_feed_gone": (
        "{name} says that it is gone for good (410) and was switched off; give it a new address, or delete it; if it came back: ./cascade feed resume {feed_id}",
        "订阅源“{name}”表示已永久删除（410），已被停用；请更换地址或删除它；若已恢复：./cascade feed resume {feed_id}",
    ),
    "alert_feed_quarantined": (
        "{name} killed its worker three times and was switched off; the log of its node says how; after mending: ./cascade feed resume {feed_id}, or give it another address",
        "订阅源“{name}”三次导致执行进程崩溃，已被停用；原因见节点日志；处理后执行 ./cascade feed resume {feed_id}，或更换地址",
    ),
    "alert_feed_duplicate": (
        "{name} moved for good to the address of {other}, which you collect already; delete one of the two.",
        "订阅源“{name}”已永久迁移到“{other}”的地址，后者已在采集；请删除其中一个。",
    ),
    "alert_work_long": (
        "{count} allocations of queue {queue} run for more than {limit} s, the oldest ({kind} {allocation_id}) for {seconds} s; look at it with ./cascade allocation show {allocation_id}, and cancel it if it hangs.",
        "队列 {queue} 有 {count} 个分配任务运行超过 {limit} 秒，最久的（{kind} {allocation_id}）已运行 {seconds} 秒；请用 ./cascade allocation show {allocation_id} 查看，若已卡住可取消。",
    ),
    "alert_work_slow": (
        "{count} allocations of queue {queue} run several times as long as usual ({usual} s), the oldest ({kind} {allocation_id}) for {seconds} s; look at it with ./cascade allocation show {allocation_id}.",
        "队列 {queue} 有 {count} 个分配任务的耗时数倍于平常（{usual} 秒），最久的（{kind} {allocation_id}）已运行 {seconds} 秒；请用 ./cascade allocation show {allocation_id} 查看。",
    ),
    "alert_node_offline": (
        "Node {name} has been silent for {seconds} s; look at its machine, and start it again, or switch it off with ./cascade node set {name} --off.",
        "节点“{name}”已失联 {seconds} 秒；请检查其所在机器并重新启动，或用 ./cascade node set {name} --off 停用。",
    ),
    "alert_queue_unserved": (
        "Nobody has served the queue {queue} for {seconds} s; start ./start_workers.sh on its node.",
        "队列 {queue} 已有 {seconds} 秒没有 worker；请在其节点上启动 ./start_workers.sh。",
    ),
    "alert_queue_late": (
        "Work has waited in the queue {queue} for {seconds} s; add workers or nodes, or look with ./cascade status what holds it up.",
        "队列 {queue} 中的任务已等待 {seconds} 秒；请增加 worker 或节点，或用 ./cascade status 查看原因。",
    ),
    "alert_queue_stopped": (
        "Nothing has flowed through the queue {queue} for {seconds} s although its workers live: they are frozen or stuck; restart them.",
        "队列 {queue} 的 worker 仍存活，但已有 {seconds} 秒没有任何任务完成：worker 可能冻结或卡住；请重启它们。",
    ),
    "alert_outbox_stuck": (
        "{count} outcomes wait in the outbox of node {name}, the oldest for {seconds} s; look at its log and its connection to the database.",
        "节点“{name}”的发件箱中有 {count} 个结果等待写入，最久已等待 {seconds} 秒；请检查其日志和数据库连接。",
    ),
    "alert_outbox_dead": (
        "{count} outcomes in the outbox of node {name} can't be used; its log says why, and they are kept in outbox/*/dead of its data directory: remove them there when you have looked at them.",
        "节点“{name}”的发件箱中有 {count} 个结果无法使用；原因见其日志，文件保存在其数据目录的 outbox/*/dead 中，查看后请删除。",
    ),
    "alert_pool_full": (
        "{process} uses {used} of its {size} database connections; add processes (GUNICORN_WORKERS), or find out what holds them.",
        "{process} 已占用 {size} 个数据库连接中的 {used} 个；请增加进程数（GUNICORN_WORKERS），或查明占用原因。",
    ),
    "alert_run_failing": (
        "{failed} of {ended} feeds ({percent} %) failed in the newest run of {name}; see ./cascade failures, and retry with ./cascade allocation retry --run {run_id}.",
        "“{name}”最近一次运行有 {ended} 个订阅源结束，其中 {failed} 个（{percent}%）失败；请查看 ./cascade failures，并用 ./cascade allocation retry --run {run_id} 重试。",
    ),
    "alert_beat_missing": (
        "No beat was seen for {seconds} s: nothing is planned or repaired; start ./cascade up, or python -m backend.dispatch.beat.",
        "已有 {seconds} 秒没有 beat：不会分配或修复任何任务；请启动 ./cascade up 或 python -m backend.dispatch.beat。",
    ),
    "alert_sweeper_missing": (
        "Nobody has swept for {seconds} s: lost work is not recovered; look at the log of the beat.",
        "已有 {seconds} 秒没有进行清扫：丢失的任务不会恢复；请查看 beat 的日志。",
    ),
    "alert_disk_low": (
        "The disk of the data directory on {machine} has {percent} % ({megabytes} MB) left; make room.",
        "{machine} 上数据目录所在磁盘仅剩 {percent}%（{megabytes} MB）；请清理空间。",
    ),
    "alert_account_login": (
        "The account {name} on {platform} must be logged in again ({reason}); {held} tasks wait for that. Use ./cascade account login {name}, or replace its cookies: they go on by themselves then.",
        "{platform} 账号“{name}”需要重新登录（{reason}），有 {held} 个任务在等待；请用 ./cascade account login {name} 登录或更换 Cookie，之后任务会自动继续。",
    ),
    "alert_account_expiring": (
        "The login of the account {name} on {platform} ends within three days; renew it with ./cascade account login {name}, or replace its cookies, before tasks have to wait.",
        "{platform} 账号“{name}”的登录将在三天内过期；请提前用 ./cascade account login {name} 续期或更换 Cookie，以免任务等待。",
    ),
    "alert_publish_unconfirmed": (
        "Of {count} publish tasks nobody knows whether they are on their platform, of the oldest ({task_id}) for {hours} h; look at the platform, then say it with ./cascade publish confirm {task_id}.",
        "有 {count} 个发布任务结果未确认，最久的（{task_id}）已有 {hours} 小时；请到平台查看，然后用 ./cascade publish confirm {task_id} 确认。",
    ),
    "alert_test": ("This is a test: alerts reach you here.", "这是一条测试消息：告警可以送达这里。"),
    "alert_try": ("test", "测试"),
    "alert_warning": ("warning", "警告"),
    "alert_critical": ("critical", "严重"),
    "alert_title": ("[{severity}] Cascade", "[{severity}] Cascade 告警"),
    "alert_title_reminder": ("[still {severity}] Cascade", "[{severity}，仍未恢复] Cascade 告警"),
    "alert_title_closed": ("[resolved] Cascade", "[已恢复] Cascade 告警"),
    "alert_resolved": ("Resolved ({reason}): {message}", "已恢复（{reason}）：{message}"),
    "alert_closed_true": ("no longer true", "条件已消除"),
    "alert_receiver_gone": (
        "This receiver is no longer in CASCADE_ALERT_URLS.",
        "该接收地址已不在 CASCADE_ALERT_URLS 中。",
    ),
    "alert_over_before": (
        "It was over before it could be sent.",
        "发送之前问题已恢复。",
    ),
    "alert_sender_broken": (
        "Sending it failed in a way that nobody expected; the log says how.",
        "发送时出现意外错误；详见日志。",
    ),
    "no_alert_urls": (
        "There is nobody to tell: set CASCADE_ALERT_URLS.",
        "没有接收者：请设置 CASCADE_ALERT_URLS。",
    ),
    "alert_closed_already": (
        "The alert {id} is closed already; there is nothing to acknowledge.",
        "告警 {id} 已关闭，无需确认。",
    ),
}
