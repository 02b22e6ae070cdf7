"""What commands say when all goes well, in English and Chinese."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "database_made": ("Made the database {address}.", "已创建数据库 {address}。"),
    "database_current": ("The database is current.", "数据库已是最新版本。"),
    "ready": ("ready {url}", "ready {url}"),
    "admin_made": (
        "Made user admin. Its password, shown this once: {password}",
        "已创建用户 admin，密码仅显示这一次：{password}",
    ),
    "admin_made_given": (
        "Made user admin with the password from CASCADE_ADMIN_PASSWORD.",
        "已创建用户 admin，密码取自 CASCADE_ADMIN_PASSWORD。",
    ),
    "feeds_imported": (
        "{added} feeds added, {existing} were there already, {refused} can't be used.",
        "新增 {added} 个订阅源，{existing} 个已存在，{refused} 个无法使用。",
    ),
    "starts_with_up": (
        "Nothing runs at the moment; the work starts with the next ./cascade up.",
        "当前没有任何进程在运行；下次运行 ./cascade up 后开始执行。",
    ),
    "dispatched": (
        "{tasks} tasks dispatched: {allocations} allocations made, {waiting} items wait{reason}.",
        "已下发 {tasks} 个任务：生成 {allocations} 个分配，{waiting} 项等待中{reason}。",
    ),
    "no_tasks": ("There is no enabled message task.", "没有启用的消息任务。"),
    "run_summary": (
        "{name}: {done} feeds done, {failed} failed, {cancelled} cancelled; {articles} articles, {fresh} new; {delivered} deliveries arrived, {undelivered} did not.",
        "{name}：{done} 个订阅源完成，{failed} 个失败，{cancelled} 个取消；文章 {articles} 篇，新增 {fresh} 篇；推送成功 {delivered} 条，未成功 {undelivered} 条。",
    ),
    "progress": (
        "{ended} of {total} ended, {failed} failed",
        "已结束 {ended}/{total}，失败 {failed}",
    ),
    "password_set": (
        "The password of {name} is changed; earlier logins have ended.",
        "{name} 的密码已修改，之前的登录均已失效。",
    ),
    "password_prompt": ("Password", "密码"),
    "nothing_here": (
        "There is no database in {data_dir} yet; ./cascade up makes it.",
        "{data_dir} 中还没有数据库；运行 ./cascade up 会创建。",
    ),
}
