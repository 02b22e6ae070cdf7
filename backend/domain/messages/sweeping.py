"""What a pass of the sweeper says."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "sweep_did": ("{what}: {found} found, {mended} mended", "{what}：发现 {found}，处理 {mended}"),
    "sweep_would": (
        "{what}: {found} found; nothing was changed",
        "{what}：发现 {found}；未做任何更改",
    ),
    "sweep_without_redis": (
        "Redis does not answer; the queues were left out.",
        "Redis 没有响应，已跳过队列检查。",
    ),
    "sweep_without_database": (
        "The database does not answer; the rest was left out.",
        "数据库没有响应，其余检查已跳过。",
    ),
    "sweep_broken": (
        "This could not be done, the log says why: {what}",
        "无法完成（原因见日志）：{what}",
    ),
    "sweep_total": (
        "{repairs} repairs looked, {found} found something, {mended} mended.",
        "共检查 {repairs} 项，其中 {found} 项有发现，处理 {mended} 个。",
    ),
    "sweep_dry_total": (
        "{repairs} repairs looked, {found} found something, {mended} mended (dry run).",
        "共检查 {repairs} 项，其中 {found} 项有发现，处理 {mended} 个（演练）。",
    ),
    "sweep_turned": ("nodes that went offline or came back", "离线或恢复在线的节点"),
    "sweep_expired": (
        "allocations whose lease is over: recovered",
        "租约已过期的分配：恢复",
    ),
    "sweep_gone": (
        "pending allocations of nodes that are gone: planned again",
        "节点已失联的待处理分配：重新规划",
    ),
    "sweep_cooled": (
        "accounts whose platform wanted a pause that is over: their tasks go on",
        "平台要求的暂停已结束的账号：任务继续",
    ),
    "sweep_held_publishes": (
        "publish tasks that do not follow their account's health: held, or let go on",
        "与账号状态不符的发布任务：暂停或继续",
    ),
    "sweep_workless_publishes": (
        "publish tasks whose work was gone: they wait for other work",
        "失去执行工作的发布任务：重新等待分配",
    ),
    "sweep_reasons": (
        "publish tasks that wait for another reason than they say: written anew",
        "等待原因已变化的发布任务：更新原因",
    ),
    "sweep_taskless": (
        "publish work that no task wants any more: ended",
        "不再有任务需要的发布工作：结束",
    ),
    "sweep_slots": (
        "accounts whose slot was kept by work that has ended: freed",
        "被已结束的工作占用的账号：释放",
    ),
    "sweep_prompts": ("login codes whose time is over: forgotten", "已过期的登录二维码：清除"),
    "sweep_expansions": (
        "runs whose items were not all made: continued",
        "未完成展开的运行：继续展开",
    ),
    "sweep_held": (
        "items of hosts that want to be left alone for long: ended",
        "主机要求长时间勿扰的工作项：结束",
    ),
    "sweep_schedules": (
        "schedules without a next time: planned",
        "没有下次触发时间的计划：重新计算",
    ),
    "sweep_due_items": ("work items whose wait is over: released", "等待已结束的工作项：放行"),
    "sweep_due_deliveries": ("deliveries whose wait is over: released", "等待已结束的投递：放行"),
    "sweep_runs": ("runs whose items have all ended: closed", "所有工作项均已结束的运行：关闭"),
    "sweep_queued": ("runs that waited for another one: started", "等待其他运行的运行：启动"),
    "sweep_lost": (
        "pending allocations that Redis lost: enqueued again",
        "Redis 丢失的待处理分配：重新入队",
    ),
    "sweep_stuck": (
        "jobs that a worker took and never started: taken out",
        "被取走但从未开始的任务：移除",
    ),
    "sweep_unwanted": (
        "jobs that the database no longer wants: taken out",
        "数据库已不需要的队列任务：移除",
    ),
    "sweep_leftovers": ("jobs that nobody needs: left to expire", "无人需要的任务数据：任其过期"),
    "sweep_deserted": ("queues of deleted nodes: removed", "已删除节点的队列：移除"),
    "sweep_registries": ("registries of RQ that grew: shortened", "过长的 RQ 登记表：缩短"),
    "sweep_ghosts": (
        "workers that RQ lists and that are gone: forgotten",
        "RQ 仍列出但已消失的工作进程：清除",
    ),
    "sweep_old_requests": ("answers kept for repeated requests: forgotten", "为重复请求保留的应答：清除"),
    "sweep_old_holds": ("hosts whose wish is over: forgotten", "勿扰期已过的主机：清除"),
    "sweep_old_sync_logs": ("old sync logs: deleted", "旧的同步日志：删除"),
    "sweep_old_results": ("old results of children: deleted", "旧的子节点结果：删除"),
    "sweep_old_alerts": ("old alerts: deleted", "旧的告警：删除"),
    "sweep_old_runs": ("old runs with all that belongs to them: deleted", "旧的运行及其全部内容：删除"),
    "sweep_old_deliveries": ("old deliveries: deleted", "旧的投递：删除"),
    "sweep_old_publish_tasks": ("old publish tasks that have ended: deleted", "已结束的旧发布任务：删除"),
    "sweep_old_allocations": ("old allocations of no run: deleted", "不属于任何运行的旧分配：删除"),
    "sweep_old_ticks": ("old ticks of schedules: deleted", "旧的计划触发记录：删除"),
    "sweep_old_history": ("old history: deleted", "旧的历史记录：删除"),
    "sweep_old_articles": ("old articles: their text deleted", "旧文章：删除正文"),
}
