"""What people do to work: cancelling, trying again, choosing many at once."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "job_not_failed": (
        "Only a failed job can be put back into its queue; this one has not failed, or is back already.",
        "只有失败的作业才能重新入队；该作业未失败或已重新入队。",
    ),
    "dispatch_done": ("The tasks are dispatched.", "任务分发完成"),
    "allocation_ended": (
        "The allocation {id} has ended already: {state}. There is nothing to cancel; what failed of it can be tried again.",
        "分配任务 {id} 已经结束：{state}。无需取消；其中失败的部分可以重试。",
    ),
    "allocation_open": (
        "The allocation {id} has not ended: {state}. Wait for its end, or cancel it first.",
        "分配任务 {id} 尚未结束：{state}。请等待其结束，或先取消它。",
    ),
    "allocation_kind": (
        "The allocation {id} is {kind} work, which is cancelled and tried again through its publish task.",
        "分配任务 {id} 属于 {kind} 类工作，请通过其发布任务取消或重试。",
    ),
    "nothing_failed": (
        "Nothing of the allocation {id} ({state}) stands as failed: what was lost is planned again by itself; to collect everything anew, dispatch the task again.",
        "分配任务 {id}（{state}）中没有失败的项：丢失的部分会自动重新分配；如需全部重新采集，请再次下发任务。",
    ),
    "retry_without_task": (
        "The message task was deleted, so its work can't be tried again.",
        "消息任务已被删除，无法重试其工作。",
    ),
    "retry_in_cancelled_run": (
        "The run {id} was cancelled, so its work can't be tried again; dispatch the task again.",
        "本次运行 {id} 已被取消，无法重试；请重新下发任务。",
    ),
    "nothing_chosen": (
        "Name one allocation, or choose some: --task, --node, --run or --status.",
        "请指定一个分配任务，或用 --task、--node、--run、--status 选择。",
    ),
    "selection_gone": (
        "There is no selection {id}, or it is older than an hour; choose again.",
        "没有选择 {id}，或已超过一小时；请重新选择。",
    ),
    "selection_too_large": (
        "More than {limit} allocations match; narrow the filter, for instance by time or node.",
        "匹配的分配任务超过 {limit} 个；请缩小筛选范围，例如按时间或节点。",
    ),
}
