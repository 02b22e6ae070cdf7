"""Children and what they report."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "child_failed": (
        "The child could not do it, in its own words: {detail}",
        "子节点执行失败，其说明为：{detail}",
    ),
    "allocation_not_held": (
        "This node does not hold allocation {id}: it is {state} ({reason}). Claim new work instead of reporting on it.",
        "本节点并未持有分配任务 {id}：其状态为 {state}（{reason}）。请认领新任务，不要再上报该任务。",
    ),
    "stale_attempt": (
        "Attempt {attempt} is over; attempt {current} took its place. Claim new work.",
        "第 {attempt} 次尝试已失效，当前为第 {current} 次；请认领新任务。",
    ),
    # The words of the seeds, whatever the language: children show them as they are.
    "nothing_pending": ("暂无待处理任务", "暂无待处理任务"),
}
