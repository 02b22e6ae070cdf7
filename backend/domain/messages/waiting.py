"""Why things wait: nodes first, then items, allocations, deliveries and runs."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "node_off": ("switched off", "已停用"),
    "node_not_running": ("not running", "未运行"),
    "node_silent": ("silent for {seconds} s", "已失联 {seconds} 秒"),
    "node_workerless": ("none of its workers runs", "没有运行中的 worker"),
    "node_draining": ("draining", "排空中"),
    "node_full": ("full: {in_flight}/{max_capacity}", "已满：{in_flight}/{max_capacity}"),
}
