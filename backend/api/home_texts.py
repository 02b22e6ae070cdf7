"""What the start page says, in English and Chinese."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "tagline": (
        "One parent plans, many nodes collect, nothing gets stuck.",
        "一个父节点负责调度，多个子节点负责采集，任务不会卡死。",
    ),
    "ready": ("The parent is ready", "父节点已就绪"),
    "not_ready": ("Something needs attention", "有部件需要处理"),
    "database_away": ("The database does not answer", "数据库无响应"),
    "database_away_detail": (
        "Work that has begun goes on and reports when the database is back. Find the cause with:",
        "已开始的工作会继续，数据库恢复后再上报。请用下面的命令查找原因：",
    ),
    "next": ("Next", "下一步"),
    "next_feed": ("Add the first feed:", "添加第一个订阅源："),
    "next_task": ("Say what to do with the feeds:", "建立一个消息任务："),
    "next_dispatch": ("Collect them now:", "立即采集："),
    "next_status": ("See what runs:", "查看运行情况："),
    "next_check": ("Find out what is missing:", "查找缺少的部件："),
    "feeds": ("Feeds", "订阅源"),
    "tasks": ("Message tasks", "消息任务"),
    "articles": ("Articles", "文章"),
    "nodes_online": ("Nodes online", "在线节点"),
    "health": ("Health", "健康状况"),
    "nodes": ("Nodes", "节点"),
    "runs": ("Last runs", "最近的运行"),
    "node": ("Node", "节点"),
    "state": ("State", "状态"),
    "load": ("Load", "负载"),
    "workers": ("Workers", "工作进程"),
    "queue": ("Queue", "队列"),
    "available": ("available", "可用"),
    "task": ("Task", "任务"),
    "items": ("Feeds done", "已完成订阅源"),
    "failed": ("Failed", "失败"),
    "new_articles": ("New articles", "新文章"),
    "started": ("Started (UTC)", "开始时间（UTC）"),
    "no_nodes": ("No node yet.", "还没有节点。"),
    "no_runs": ("Nothing has been dispatched yet.", "还没有调度过任务。"),
    "links": ("Links", "链接"),
    "link_ready": ("readiness with every queue", "就绪检查（含所有队列）"),
    "link_live": ("liveness", "存活检查"),
    "link_queues": ("queues, jobs and workers (asks for a login)", "队列、作业与工作进程（需登录）"),
    "link_docs": ("the HTTP API, to browse and to try", "HTTP 接口文档，可浏览与试用"),
    "api_hint": (
        "The API starts at POST /api/v1/auth/login; every other call takes its token.",
        "API 从 POST /api/v1/auth/login 开始，其余调用都需携带其返回的令牌。",
    ),
    "check_database": ("Database", "数据库"),
    "check_migrations": ("Schema", "表结构"),
    "check_redis": ("Redis", "Redis"),
    "check_beat": ("Beat", "心跳进程"),
    "check_default_queue": ("Deliveries", "推送队列"),
    "ok": ("ok", "正常"),
    "queued": ("waits for the run before it", "等待上一次运行结束"),
    "expanding": ("starting", "启动中"),
    "running": ("running", "运行中"),
    "completed": ("completed", "已完成"),
    "cancelled": ("cancelled", "已取消"),
    "other_language": ("中文", "English"),
}


def texts(language: str) -> dict[str, str]:
    """Every text in one language."""
    place = 1 if language == "zh" else 0
    return {name: both[place] for name, both in TEXTS.items()}
