"""The command line."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "rotation_under_way": (
        "Another ./cascade secrets rotate is at work here; wait for it.",
        "此处已有另一个 ./cascade secrets rotate 正在运行；请等待其结束。",
    ),
    "secret_key_is_yours": (
        "The secret key comes from CASCADE_SECRET_KEY or config.yaml, so you change it: draw a long random one, set NEW,OLD there on every machine, restart everything, and run this again; then it says when OLD can go.",
        "密钥来自 CASCADE_SECRET_KEY 或 config.yaml，需由你更换：生成一个足够长的随机密钥，在每台机器上设为 NEW,OLD（新,旧），重启所有进程后再次运行本命令；完成时会提示可以移除旧密钥。",
    ),
    "up_running": (
        "Another Cascade (./cascade up or child, process {pid}) runs on {data_dir}; stop it first, or give this one a --data-dir of its own.",
        "已有另一个 Cascade（./cascade up 或 child，进程 {pid}）正在使用 {data_dir}；请先停止它，或用 --data-dir 指定别的目录。",
    ),
    "port_taken": (
        "Port {port} on {host} is taken; stop the program that listens there, or choose another port with --port.",
        "{host} 的端口 {port} 已被占用；请停止占用它的程序，或用 --port 换一个端口。",
    ),
    "port_forbidden": (
        "This user may not listen on port {port}; choose one from 1024 on with --port.",
        "当前用户无权监听端口 {port}；请用 --port 选择 1024 及以上的端口。",
    ),
    "bad_host": (
        "{host} is no address of this machine; give one with --host (127.0.0.1: this machine only, 0.0.0.0: everybody).",
        "{host} 不是本机地址；请用 --host 指定（127.0.0.1 仅本机，0.0.0.0 所有网卡）。",
    ),
    "directory_unwritable": (
        "{path} can't be written ({detail}); give this user the right to, or choose another place with --data-dir.",
        "无法写入 {path}（{detail}）；请授予写权限，或用 --data-dir 指定别的目录。",
    ),
    "child_machine": (
        "cascade.node_type is child, so this machine is no parent; start it with ./cascade child, or remove that setting.",
        "cascade.node_type 为 child，本机不是父节点；请用 ./cascade child 启动，或去掉该设置。",
    ),
    "no_redis_server": (
        "There is no Redis server to start: install redis-server 6.2 or newer, or set REDIS_URL to one that runs.",
        "找不到可启动的 Redis 服务器：请安装 redis-server 6.2 或更高版本，或用 REDIS_URL 指定已有的 Redis。",
    ),
    "redis_failed": (
        "The embedded Redis did not start ({detail}). If its files in {folder} are damaged, delete that folder: the database knows everything.",
        "内置 Redis 未能启动（{detail}）。如果 {folder} 中的文件已损坏，请删除该目录：所有数据都在数据库里。",
    ),
    "redis_silent": (
        "Redis at {address} does not answer ({detail}); start it, or correct REDIS_URL.",
        "{address} 的 Redis 没有响应（{detail}）；请启动它，或改正 REDIS_URL。",
    ),
    "database_silent": (
        "The database at {address} can't be used ({detail}); start it, or correct DATABASE_URL.",
        "无法使用数据库 {address}（{detail}）；请启动它，或改正 DATABASE_URL。",
    ),
    "bad_admin_password": (
        "CASCADE_ADMIN_PASSWORD can't be used: {detail}",
        "CASCADE_ADMIN_PASSWORD 不可用：{detail}",
    ),
    "nothing_runs": (
        "Nothing runs that would do the work, so there is nothing to wait for; it starts with the next ./cascade up.",
        "当前没有任何进程在运行，无需等待；下次运行 ./cascade up 后开始执行。",
    ),
    "wait_given_up": (
        "Waiting was given up: {reason}. The work stays and goes on by itself when that is mended.",
        "已放弃等待：{reason}。任务仍然保留，问题解决后会自动继续。",
    ),
    "unreadable_file": ("{path} can't be read: {detail}.", "无法读取 {path}：{detail}。"),
    "no_such_user": (
        "There is no user {name}; ./cascade user list shows who exists.",
        "没有用户 {name}；可用 ./cascade user list 查看。",
    ),
    "no_feeds_chosen": (
        "Say which feeds: --feeds all, or --feed ID (as often as needed; ./cascade feed list shows the ids).",
        "请指定订阅源：--feeds all，或 --feed ID（可重复；./cascade feed list 可查看 ID）。",
    ),
}
