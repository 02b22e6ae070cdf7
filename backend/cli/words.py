"""What commands say when all goes well, in English and Chinese."""

from __future__ import annotations

from backend.cli import words_child

WORDS: dict[str, tuple[str, str]] = words_child.WORDS | {
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
    "nothing_written": (
        "Nothing was written. Run it again with --apply to take these.",
        "没有写入任何数据。确认后加上 --apply 再次运行即可导入。",
    ),
    "werss_left": ("Left out:", "未导入："),
    "werss_remarks": ("Taken, and different here:", "已导入，但有差异："),
    "werss_progress": ("{count} {what} so far", "已处理 {count} 条 {what}"),
    "starts_with_up": (
        "Nothing runs at the moment; the work starts with the next ./cascade up.",
        "当前没有任何进程在运行；下次运行 ./cascade up 后开始执行。",
    ),
    "dispatched": (
        "{tasks} tasks dispatched: {allocations} allocations made, {waiting} items wait.{reason}",
        "已下发 {tasks} 个任务：生成 {allocations} 个分配，{waiting} 项等待中。{reason}",
    ),
    "task_waits": (
        "{name}: its run starts when run {run_id} has ended.",
        "{name}：运行 {run_id} 结束后开始。",
    ),
    "task_skipped": (
        "{name} was skipped: its run {run_id} has not ended (see ./cascade status).",
        "{name} 已跳过：运行 {run_id} 尚未结束（见 ./cascade status）。",
    ),
    "schedules_running": ("running", "运行中"),
    "schedules_stopped": (
        "stopped by {who} since {since}; ./cascade scheduler start lets them fire again",
        "已由 {who} 停止，自 {since}；./cascade scheduler start 可恢复",
    ),
    "schedules_are": ("All schedules: {state}.", "所有定时：{state}。"),
    "schedules_planned": ("{count} schedules planned anew.", "已重新计算 {count} 个定时计划。"),
    "task_paused": (
        "The schedule of {name} is paused; dispatching it by hand still works.",
        "{name} 的定时已暂停；仍可手动下发。",
    ),
    "task_autonomous": (
        "{node} collects {name} on its cron while it does not reach its parent (cascade.autonomous must be on there).",
        "{node} 在连不上父节点时会按定时自主采集 {name}（该节点需开启 cascade.autonomous）。",
    ),
    "task_not_autonomous": (
        "No node collects {name} by itself any more.",
        "已没有节点自主采集 {name}。",
    ),
    "task_resumed": ("The schedule of {name} goes on.", "{name} 的定时已恢复。"),
    "more_allocations": (
        "{shown} of {total} shown; narrow the options, or raise --limit.",
        "已显示 {total} 个中的 {shown} 个；请缩小范围或提高 --limit。",
    ),
    "allocation_changed": (
        "{outcome}: {items} feeds, {deliveries} messages.",
        "{outcome}：{items} 个订阅源，{deliveries} 条消息。",
    ),
    "chosen_to_cancel": (
        "{count} allocations would be cancelled ({by_status}).",
        "将取消 {count} 个分配任务（{by_status}）。",
    ),
    "chosen_to_retry": (
        "{count} allocations have something that failed ({by_status}); it would be tried again.",
        "{count} 个分配任务中有失败的部分（{by_status}），将会重试。",
    ),
    "go_on": ("Go on", "继续"),
    "newest_failures": (
        "Only the newest {count} failures were looked at.",
        "只查看了最新的 {count} 条失败记录。",
    ),
    "alert_sent": ("sent", "已发送"),
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
    "role_set": (
        "{name} is {role} from the next request on.",
        "{name} 的角色已改为 {role}，下一个请求起生效。",
    ),
    "user_disabled": (
        "{name} is switched off; its logins have ended and its access keys do nothing.",
        "{name} 已停用；其登录均已失效，访问密钥不再可用。",
    ),
    "user_enabled": ("{name} may log in again.", "{name} 已重新启用，可以登录。"),
    "key_made": (
        "Made the access key {id}. What follows is shown this once; send it as Authorization: AK-SK …",
        "已创建访问密钥 {id}。下一行仅显示这一次；请以 Authorization: AK-SK … 发送。",
    ),
    "password_prompt": ("Password", "密码"),
    "key_drawn": (
        "{path} holds a new key before the old one; running processes follow it by themselves.",
        "{path} 中已在旧密钥之前写入新密钥；运行中的进程会自动跟随。",
    ),
    "rotation_continued": (
        "There is a new key already: an interrupted rotation goes on.",
        "已有新密钥：继续之前中断的轮换。",
    ),
    "old_key_removed": (
        "The old key is gone; people have to log in again. Processes on other machines need the new key.",
        "旧密钥已移除；用户需要重新登录。其他机器上的进程需要换成新密钥。",
    ),
    "remove_old_key": (
        "Everything here is encrypted with the first key. Remove the old one from CASCADE_SECRET_KEY or config.yaml on every machine and restart; nodes on other machines first need empty outboxes (./cascade status).",
        "此处的数据已全部用第一个密钥加密。请在每台机器上从 CASCADE_SECRET_KEY 或 config.yaml 移除旧密钥并重启；其他机器上的节点须先清空发件箱（见 ./cascade status）。",
    ),
    "secrets_unreadable": (
        "{count} secrets can't be read with any of the keys, and the old key stays. Enter them anew or delete what holds them, and run this again:",
        "有 {count} 条机密无法用任何密钥读取，旧密钥保留。请重新录入或删除其所属记录，然后再次运行：",
    ),
    "more_publish_tasks": (
        "{shown} of {total} shown; narrow the options, or raise --limit.",
        "已显示 {total} 个中的 {shown} 个；请缩小范围或提高 --limit。",
    ),
    "publish_status": ("{status}: {detail}", "{status}：{detail}"),
    "scan_code": (
        "Scan this with the app of {platform} and confirm there; it is good for {seconds} s.",
        "请用 {platform} 的手机应用扫描并确认；{seconds} 秒内有效。",
    ),
    "pictures_taken": (
        "{count} pictures beside the article travel inside it: {names}",
        "文章旁的 {count} 张图片随文上传：{names}",
    ),
    "front_matter_unknown": (
        "The front matter also says {names}, which means nothing here.",
        "front matter 中的 {names} 在此不起作用。",
    ),
    "nothing_here": (
        "There is no database in {data_dir} yet; ./cascade up makes it.",
        "{data_dir} 中还没有数据库；运行 ./cascade up 会创建。",
    ),
    # check: what was found, and what to do
    "settings_read": ("read from the environment and {file}", "读取自环境变量和配置文件：{file}"),
    "no_file": ("no config.yaml", "没有 config.yaml"),
    "fix_setting": ("correct that setting and start again", "改正该设置后重新启动"),
    "directory_ok": ("{path} can be written", "{path} 可写"),
    "fix_directory": (
        "give this user the right to write there, or choose another --data-dir",
        "为当前用户授予写权限，或用 --data-dir 指定别的目录",
    ),
    "key_from_environment": ("comes from the settings", "来自设置"),
    "key_ok": ("{path} is readable by its owner only", "{path} 仅所有者可读"),
    "key_missing": ("there is none yet", "尚不存在"),
    "key_open": ("{path} can be read by others (mode {mode})", "{path} 可被其他用户读取（权限 {mode}）"),
    "fix_key_missing": (
        "run ./cascade up once, or set CASCADE_SECRET_KEY",
        "运行一次 ./cascade up，或设置 CASCADE_SECRET_KEY",
    ),
    "fix_key_open": ("run: chmod 600 {path}", "执行：chmod 600 {path}"),
    "database_ok": ("{version} at {address}", "{version}，位于 {address}"),
    "fix_database": ("start it, or correct DATABASE_URL", "启动数据库，或改正 DATABASE_URL"),
    "fix_old_database": (
        "upgrade it to MariaDB 10.6 or MySQL 8.0, or leave DATABASE_URL empty for SQLite",
        "升级到 MariaDB 10.6 或 MySQL 8.0，或不设置 DATABASE_URL 以使用 SQLite",
    ),
    "schema_is": ("the schema is {state}", "表结构状态：{state}"),
    "fix_schema": ("run ./cascade db upgrade", "执行 ./cascade db upgrade"),
    "fix_unknown_schema": (
        "it was made by another version or program: start that version, or name another database",
        "该库由其他版本或程序创建：请使用对应版本，或换一个数据库",
    ),
    "redis_ok": ("version {version} at {address}", "版本 {version}，位于 {address}"),
    "redis_none": ("there is no address yet", "尚无地址"),
    "redis_away": ("{address} does not answer ({detail})", "{address} 没有响应（{detail}）"),
    "fix_redis_away": ("start ./cascade up, or correct REDIS_URL", "运行 ./cascade up，或改正 REDIS_URL"),
    "redis_old": ("version {version} is older than 6.2", "版本 {version} 低于 6.2"),
    "fix_redis_old": (
        "upgrade it to Redis 6.2 or newer, or Valkey 7.2",
        "升级到 Redis 6.2 或更高版本，或 Valkey 7.2",
    ),
    "aof_on": ("the append-only file is on", "已开启 AOF 持久化"),
    "aof_off": (
        "the append-only file is off: a restart forgets what is queued until the sweeper finds it",
        "未开启 AOF 持久化：重启后队列内容需等待巡检恢复",
    ),
    "fix_aof": (
        "set `appendonly yes` in its configuration (at once: redis-cli CONFIG SET appendonly yes)",
        "在其配置中设置 appendonly yes（立即生效：redis-cli CONFIG SET appendonly yes）",
    ),
    "eviction_ok": ("nothing is evicted", "不会淘汰数据"),
    "eviction_on": (
        "maxmemory-policy {policy} may throw queued work away",
        "maxmemory-policy {policy} 可能会丢弃排队中的任务",
    ),
    "fix_eviction": ("set `maxmemory-policy noeviction`", "设置 maxmemory-policy noeviction"),
    "beat_ok": ("a beat is alive", "beat 正在运行"),
    "beat_none": (
        "no beat was seen in the last 15 s: nothing is planned",
        "最近 15 秒没有 beat：不会分配任务",
    ),
    "fix_up": ("start ./cascade up", "运行 ./cascade up"),
    "queue_ok": ("{consumers} workers, {waiting} jobs wait", "{consumers} 个 worker，{waiting} 个任务等待"),
    "queue_on_demand": (
        "nothing waits; its workers start when something does",
        "没有等待的任务；有任务时会自动启动 worker",
    ),
    "queue_unserved": ("no worker serves it, {waiting} jobs wait", "没有 worker，{waiting} 个任务等待"),
    "fix_default_queue": ("run ./start_workers.sh", "运行 ./start_workers.sh"),
    "fix_queue": (
        "run ./start_workers.sh --node {node}, or delete the node if it is not needed",
        "运行 ./start_workers.sh --node {node}；如果不再需要该节点，请删除它",
    ),
    "plugin_broken": (
        "{place} can't be loaded and is left out: {cause}",
        "{place} 无法加载，已跳过：{cause}",
    ),
    "fix_plugin": (
        "mend or uninstall the package that brings it, then restart the node",
        "修复或卸载提供它的软件包，然后重启节点",
    ),
    "no_nodes": ("there is no node that collects feeds", "没有采集订阅源的节点"),
    "problems": ("{count} problems", "{count} 个问题"),
    # nodes
    "database_stood": ("The database {address} is there already.", "数据库 {address} 已存在。"),
    "next_node": (
        "Next: ./cascade node add NAME makes a node on another machine; nodes on this one come with ./cascade up.",
        "下一步：用 ./cascade node add NAME 添加其他机器上的节点；本机的节点由 ./cascade up 启动。",
    ),
    "next_up": ("Next: ./cascade up starts the parent.", "下一步：运行 ./cascade up 启动父节点。"),
    "node_added": ("Made the node {name}.", "已创建节点 {name}。"),
    "too_short_ttl": (
        "a token must live for at least a minute: 5m, 1h, 2d",
        "令牌有效期至少一分钟：5m、1h、2d",
    ),
    "token_once": (
        "A token for {name}, shown this once; it works once, until {moment}. Run this on the node's machine:",
        "节点 {name} 的令牌，仅显示这一次；在 {moment} 之前可用一次。请在该节点的机器上运行：",
    ),
    "secret_once": (
        "Put these lines into config.yaml on the node's machine. The secret is shown this once.",
        "请把以下内容写入该节点机器上的 config.yaml。secret 仅显示这一次。",
    ),
    "old_pair_ends": (
        "The pair that stood stays valid for {seconds} s.",
        "旧凭证在 {seconds} 秒内仍然有效。",
    ),
    "old_pair_ended": ("The pair that stood is refused from now on.", "旧凭证已立即失效。"),
    "parent_on_loopback": (
        "The parent listens on {host} only, where no other machine reaches it: start it with --host 0.0.0.0, and behind HTTPS.",
        "父节点只监听 {host}，其他机器无法访问：请用 --host 0.0.0.0 启动，并置于 HTTPS 之后。",
    ),
    "node_removed": ("Removed the node {name}.", "已删除节点 {name}。"),
    "bad_grace": (
        "use 0, or a number with s, m, h or d, of at most 30d",
        "请使用 0，或带 s、m、h、d 单位的数字，最多 30d",
    ),
    "bad_quota_option": ("{text} is not FEED=N with a whole number", "{text} 不是 FEED=整数"),
    "remote_ok": ("online, {load} in work", "在线，执行中 {load}"),
    "remote_without_pair": ("it has no credentials yet", "还没有凭证"),
    "remote_silent": ("it is not online ({reason})", "不在线（{reason}）"),
    "fix_remote_pair": (
        "run ./cascade node credentials {name}, and put what it prints into the node's config.yaml",
        "运行 ./cascade node credentials {name}，并把输出写入该节点的 config.yaml",
    ),
    "fix_remote_silent": (
        "start it, and check parent_api_url, api_key and api_secret there; or ./cascade node remove {name}",
        "请启动它，并检查其 parent_api_url、api_key、api_secret；或运行 ./cascade node remove {name}",
    ),
    "child_settings_ok": ("child of {url}", "{url} 的子节点"),
}
