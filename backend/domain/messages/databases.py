"""Sentences about a database that can't do its part."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "database_busy": (
        "The database is busy: others held for too long what this needs; try again in a few seconds.",
        "数据库繁忙：所需数据被其他事务占用过久，请几秒后重试。",
    ),
    "database_crowded": (
        "The database has no connection left for Cascade; try again in a few seconds, or raise its max_connections.",
        "数据库的连接已用尽，请几秒后重试，或调大其 max_connections。",
    ),
    "database_damaged": (
        "The database says that its data is damaged; its log names the table. Repair it or restore a backup.",
        "数据库报告数据已损坏；请查看数据库日志中提到的表，并修复或从备份恢复。",
    ),
    "database_ended_it": (
        "The database ended the statement before it was done; try again in a few seconds.",
        "数据库中途终止了该语句，请几秒后重试。",
    ),
    "database_full": (
        "The database has no room left to write; free space on its disk. Work that is done is kept until then.",
        "数据库空间已满；请清理其磁盘。在此之前，已完成的工作会被保留。",
    ),
    "database_missing": (
        "There is no database of the name in DATABASE_URL; correct it, or create the database.",
        "DATABASE_URL 中的数据库不存在；请更正，或创建该数据库。",
    ),
    "database_read_only": (
        "The database is read-only right now: nothing can be stored until it takes writes again.",
        "数据库目前为只读，恢复可写之前无法保存任何内容。",
    ),
    "database_refuses_us": (
        "The database refuses the user of DATABASE_URL, or a right that it needs; check its name, password and grants.",
        "数据库拒绝了 DATABASE_URL 中的用户或其所需权限；请检查用户名、密码和授权。",
    ),
    "database_slow": (
        "The database gave up the statement because its own time limit was over; try again in a few seconds.",
        "数据库因语句超过其时间限制而放弃执行，请几秒后重试。",
    ),
    "database_starved": (
        "The database is short of memory, files or locks; try again in a few seconds, and look at its log.",
        "数据库的内存、文件或锁资源不足，请几秒后重试，并查看其日志。",
    ),
    "database_storage": (
        "The database can't read or write its files; look at its log and its disk.",
        "数据库无法读写其文件；请查看其日志和磁盘。",
    ),
    "parent_stuck": (
        "Every thread of this process waits for the database; try again in a few seconds.",
        "该进程的所有线程都在等待数据库，请几秒后重试。",
    ),
    "pool_is_empty": (
        "All database connections of this process are in use; try again in a few seconds.",
        "该进程的数据库连接均在使用中，请几秒后重试。",
    ),
}
