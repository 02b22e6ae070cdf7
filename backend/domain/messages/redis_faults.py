"""Redis misbehaves: what happened, and what a person should do. Work goes on from the database meanwhile."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "redis_fault_silent": (
        "Redis does not answer ({detail}); start it, or check REDIS_URL and the network.",
        "Redis 没有响应（{detail}）；请启动它，或检查 REDIS_URL 和网络。",
    ),
    "redis_fault_loading": (
        "Redis still loads its data ({detail}); it serves when it has finished.",
        "Redis 正在加载数据（{detail}）；加载完成后即可使用。",
    ),
    "redis_fault_busy": (
        "Redis is held up by a script of somebody ({detail}); end it with SCRIPT KILL.",
        "Redis 被某个脚本占用（{detail}）；请用 SCRIPT KILL 结束它。",
    ),
    "redis_fault_full": (
        "Redis is out of memory ({detail}); raise maxmemory, or remove what others keep in it.",
        "Redis 内存已满（{detail}）；请调高 maxmemory，或清理其中其他程序的数据。",
    ),
    "redis_fault_read_only": (
        "This Redis is a read-only replica now ({detail}); point REDIS_URL to the master, by a name or by Sentinel.",
        "该 Redis 现在是只读副本（{detail}）；请让 REDIS_URL 指向主节点（使用域名或 Sentinel）。",
    ),
    "redis_fault_disk": (
        "Redis takes no writes because it can't save to its disk ({detail}); free its disk and see its log.",
        "Redis 无法写入磁盘，因此拒绝写操作（{detail}）；请清理磁盘并查看 Redis 日志。",
    ),
    "redis_fault_failover": (
        "Redis has no master that takes writes right now ({detail}); see its replicas and Sentinels.",
        "Redis 当前没有可写的主节点（{detail}）；请检查副本和 Sentinel。",
    ),
    "redis_fault_clients": (
        "Redis lets no more clients in ({detail}); raise maxclients.",
        "Redis 连接数已达上限（{detail}）；请调高 maxclients。",
    ),
    "redis_fault_password": (
        "Redis refuses our password ({detail}); correct REDIS_URL and restart, or give Redis its old password.",
        "Redis 拒绝了密码（{detail}）；请改正 REDIS_URL 并重启，或恢复 Redis 的旧密码。",
    ),
    "redis_fault_permission": (
        "Redis does not allow this user what is needed ({detail}); extend the user's ACL.",
        "Redis 不允许该用户执行所需命令（{detail}）；请扩展该用户的 ACL 权限。",
    ),
    "redis_fault_certificate": (
        "The certificate of Redis is not trusted ({detail}); give its CA in REDIS_URL as ssl_ca_certs.",
        "Redis 的证书不受信任（{detail}）；请在 REDIS_URL 中用 ssl_ca_certs 指定其 CA。",
    ),
    "redis_fault_unknown": (
        "Redis refused a command for a reason that is none of ours ({detail}); this is a bug, please report it.",
        "Redis 拒绝了一个命令，原因未知（{detail}）；这是程序缺陷，请反馈。",
    ),
    "redis_needed": (
        "This needs Redis, which is not there right now: {reason}",
        "此操作需要 Redis，而它当前不可用：{reason}",
    ),
    "alert_redis_away": (
        "{node} has been without Redis for more than {seconds} s and looks for its work in the database meanwhile: {reason}",
        "节点 {node} 已超过 {seconds} 秒无法使用 Redis，期间直接从数据库领取任务：{reason}",
    ),
}
