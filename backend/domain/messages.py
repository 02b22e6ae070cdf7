"""The one catalogue of sentences for people, keyed by stable code, in English and Chinese.

Each sentence says what happened and, where there is something to do, what to do.
Placeholders are filled by the error's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "zh")

CATALOGUE: dict[str, tuple[str, str]] = {
    # general
    "ok": ("success", "成功"),
    "internal_error": (
        "Something went wrong inside Cascade; the log has the details under request {request_id}.",
        "Cascade 内部出错；详情见日志，请求号 {request_id}。",
    ),
    "invalid_input": (
        "The request can't be used as it is; see data.errors for each field.",
        "请求内容有误，请查看 data.errors 中每个字段的说明。",
    ),
    "not_found": ("There is no {noun} {id}.", "找不到{noun} {id}。"),
    "conflict": ("The change collides with what stands: {detail}", "与现有数据冲突：{detail}"),
    "unavailable": (
        "{part} does not answer right now; try again in a few seconds.",
        "{part} 暂时无响应，请几秒后重试。",
    ),
    "bad_setting": ("{name}: {detail}", "{name}：{detail}"),
    "no_secret_key": (
        "There is no secret key; run ./cascade up once, or set CASCADE_SECRET_KEY.",
        "没有密钥；请先运行一次 ./cascade up，或设置 CASCADE_SECRET_KEY。",
    ),
    "wrong_secret_key": (
        "A stored secret can't be decrypted; set CASCADE_SECRET_KEY (or secret.key) to the key it was stored with.",
        "无法解密已保存的机密；请把 CASCADE_SECRET_KEY（或 secret.key）设回当时使用的密钥。",
    ),
    # work
    "work_failed": ("The work failed: {detail}", "执行失败：{detail}"),
    "held_connection": (
        "A database connection is held during the long work of phase 2; close the session before the work starts.",
        "第二阶段（长时间工作）期间仍占用数据库连接；请在工作开始前关闭会话。",
    ),
    "deadline_exceeded": (
        "The work did not end within its limit of {seconds} s and was stopped.",
        "工作超过 {seconds} 秒的时限，已被停止。",
    ),
    "lost": (
        "The worker stopped renewing its lease (it died or froze); the work goes to another one.",
        "执行进程不再续租（已退出或卡死）；任务将交给其他进程。",
    ),
    "unexpected_error": (
        "An unexpected error ended the work: {detail}",
        "意外错误导致工作中止：{detail}",
    ),
    # feeds, message tasks, people (api and store)
    "bad_feed_url": (
        "{url!r} is not the address of a feed: it must be a complete http:// or https:// URL of at most 2048 characters.",
        "{url!r} 不是订阅源地址：必须是完整的 http:// 或 https:// 网址，且不超过 2048 个字符。",
    ),
    "secret_in_url": (
        "The URL holds a user name or password, which would show up in logs and lists; use an address without them.",
        "网址中含有用户名或密码，会出现在日志和列表中；请使用不含它们的地址。",
    ),
    "unknown_feed_kind": (
        "There is no kind of feed {kind!r}; the kinds that exist: {existing}",
        "没有名为 {kind!r} 的订阅类型；现有类型：{existing}",
    ),
    "feed_exists": (
        "This feed has been added already: {name} ({existing_id}).",
        "该订阅源已存在：{name}（{existing_id}）。",
    ),
    "feed_busy": (
        "A node is collecting {name} right now; delete it when that work has ended.",
        "节点正在采集 {name}；请等该工作结束后再删除。",
    ),
    "unknown_feeds": (
        "{count} of the feeds do not exist, the first one is {first}; add them, or leave them out.",
        "有 {count} 个订阅源不存在，第一个是 {first}；请先添加，或从列表中去掉。",
    ),
    "no_feeds": (
        'Name at least one feed, or write "all".',
        '请至少指定一个订阅源，或写 "all"。',
    ),
    "bad_opml": (
        "The file is not OPML that can be read (line {line}): {detail}",
        "无法读取该 OPML 文件（第 {line} 行）：{detail}",
    ),
    "opml_no_feeds": (
        "The file is XML but holds no outline; export the subscriptions of your reader as OPML.",
        "该文件是 XML，但其中没有 outline 条目；请从阅读器导出 OPML 订阅列表。",
    ),
    "opml_no_url": ("The entry has no xmlUrl.", "该条目没有 xmlUrl。"),
    "too_many_entries": (
        "The file holds more than {limit} entries; split it.",
        "文件中的条目超过 {limit} 个；请拆分后再导入。",
    ),
    "bad_message_type": (
        "message_type is 0 (render and notify) or 1 (send the rendered text as it is).",
        "message_type 只能是 0（渲染后通知）或 1（原样发送渲染结果）。",
    ),
    "bad_headers": (
        'The headers must be a JSON object of names and texts, such as {{"X-Token": "…"}}: {detail}',
        'headers 必须是由名称和文本组成的 JSON 对象，例如 {{"X-Token": "…"}}：{detail}',
    ),
    "bad_cookies": (
        "The cookies must be one line such as name=value; other=value.",
        "cookies 必须是一行文本，例如 name=value; other=value。",
    ),
    "bad_name": (
        "The name must have 1 to {limit} characters and no line breaks.",
        "名称必须为 1 到 {limit} 个字符，且不能换行。",
    ),
    "bad_cron": (
        "{expression!r} is not a schedule of five fields (minute hour day month weekday), such as 0 9 * * *: {detail}",
        "{expression!r} 不是五段式的定时表达式（分 时 日 月 周），例如 0 9 * * *：{detail}",
    ),
    "bad_time_zone": (
        "{name!r} is not a time zone; use a name such as Asia/Shanghai or UTC.",
        "{name!r} 不是时区名；请使用 Asia/Shanghai 或 UTC 这样的名称。",
    ),
    "task_changed": (
        "Somebody changed the message task {name} meanwhile; read it again, then make your change.",
        "消息任务 {name} 刚被他人修改；请重新读取后再改。",
    ),
    "bad_role": ("A role is one of {existing}.", "角色只能是 {existing} 之一。"),
    "user_exists": ("There is a user {name} already.", "用户 {name} 已存在。"),
    "weak_password": (
        "A password needs at least {least} characters (and at most {most}).",
        "密码至少需要 {least} 个字符（最多 {most} 个）。",
    ),
    # requests and answers (api)
    "unauthenticated": (
        "Log in first: POST /api/v1/auth/login, then send Authorization: Bearer <access_token>.",
        "请先登录：POST /api/v1/auth/login，然后携带 Authorization: Bearer <access_token>。",
    ),
    "dead_token": (
        "The login has expired or was ended; log in again.",
        "登录已过期或已被终止；请重新登录。",
    ),
    "bad_login": ("The user name or the password is wrong.", "用户名或密码错误。"),
    "forbidden": (
        "Your role {role} may not do this; ask somebody with the role {needed}.",
        "您的角色 {role} 无权执行此操作；请联系具有 {needed} 角色的人。",
    ),
    "no_route": (
        "There is nothing at {path}; GET / lists where to start.",
        "{path} 不存在；GET / 页面列出了入口。",
    ),
    "bad_method": (
        "{method} does not work here; allowed: {allowed}.",
        "此处不支持 {method}；允许：{allowed}。",
    ),
    "body_too_large": (
        "The body is larger than {megabytes} MB, the limit here.",
        "请求体超过此处的上限 {megabytes} MB。",
    ),
    "bad_content_type": (
        "This content type can't be read here; send {expected}.",
        "此处无法读取该内容类型；请发送 {expected}。",
    ),
    "bad_json": ("The body is not JSON: {detail}", "请求体不是合法的 JSON：{detail}"),
    "bad_request": ("The request can't be understood: {detail}", "无法理解该请求：{detail}"),
    "not_ready": ("Not ready: {detail}", "尚未就绪：{detail}"),
    "field_missing": ("is required", "必填"),
    "field_unknown": ("is not known here; leave it out", "未知字段，请去掉"),
    "field_too_long": ("may have at most {max_length} characters", "最多 {max_length} 个字符"),
    "field_too_short": ("needs at least {min_length} characters", "至少 {min_length} 个字符"),
    "field_too_many": ("may have at most {max_length} entries", "最多 {max_length} 项"),
    "field_too_few": ("needs at least {min_length} entries", "至少 {min_length} 项"),
    "field_not_text": ("must be text", "必须是文本"),
    "field_not_number": ("must be a whole number", "必须是整数"),
    "field_not_flag": ("must be true or false", "必须是 true 或 false"),
    "field_too_small": ("must be at least {ge}", "不能小于 {ge}"),
    "field_too_large": ("must be at most {le}", "不能大于 {le}"),
    "field_not_allowed": ("must be one of {expected}", "只能是 {expected} 之一"),
    "field_not_object": ("must be a JSON object", "必须是 JSON 对象"),
    "field_bad_pattern": ("has characters that are not allowed here", "含有不允许的字符"),
    "field_invalid": ("can't be used: {detail}", "无法使用：{detail}"),
    # store, nodes and workers
    "no_redis": (
        "There is no Redis address: start ./cascade up, or set REDIS_URL.",
        "没有 Redis 地址：请启动 ./cascade up，或设置 REDIS_URL。",
    ),
    "redis_away": (
        "Redis does not answer ({reason}): start ./cascade up, or check REDIS_URL.",
        "Redis 无响应（{reason}）：请启动 ./cascade up，或检查 REDIS_URL。",
    ),
    "unknown_schema": (
        "The database's schema is newer than this program, or not Cascade's; update the program or choose another database.",
        "数据库结构比本程序新，或不是 Cascade 的；请升级程序或换一个数据库。",
    ),
    "schema_behind": (
        "The database's schema is not up to date; run ./cascade db upgrade.",
        "数据库结构不是最新；请运行 ./cascade db upgrade。",
    ),
    "old_database": (
        "The database server is {found}; Cascade needs MariaDB 10.6 or MySQL 8.0 at least.",
        "数据库服务器是 {found}；Cascade 至少需要 MariaDB 10.6 或 MySQL 8.0。",
    ),
    "node_exists": (
        "There is a node {name!r} already; choose another name.",
        "节点 {name!r} 已存在，请换一个名称。",
    ),
    "node_is_remote": (
        "The node {name!r} is a remote one: its workers run on its own machine; choose another name here.",
        "节点 {name!r} 是远程节点，其工作进程在它自己的机器上运行；请在这里换一个名称。",
    ),
    "bad_node_name": (
        "{name!r} can't be a node's name; use 1 to 100 characters.",
        "{name!r} 不能用作节点名称；请使用 1 到 100 个字符。",
    ),
    "bad_capacity": (
        "A capacity of {capacity} is not possible; use a whole number from 1 to 10000.",
        "容量 {capacity} 无效；请使用 1 到 10000 的整数。",
    ),
    "no_enabled_task": (
        "There is no enabled message task to dispatch; add one first.",
        "没有已启用的消息任务可分发；请先添加一个。",
    ),
    "no_lane": (
        "This process is no Cascade worker; start workers with ./start_workers.sh, not with rq worker.",
        "此进程不是 Cascade 工作进程；请用 ./start_workers.sh 启动，而不是 rq worker。",
    ),
    "node_check_died": (
        "The check of Redis and the database ended without an answer; the lines above say why.",
        "对 Redis 和数据库的检查没有给出结果；原因见上面的日志。",
    ),
    "refused": (
        "{sentence}",
        "{sentence}",
    ),
    "foreign_queue": (
        "Node {node} serves {own}; workers for {name} belong to that node: start_workers.sh --node NAME.",
        "节点 {node} 服务于 {own}；{name} 的工作进程属于它自己的节点：start_workers.sh --node NAME。",
    ),
    "no_such_source": (
        "There is no source for feeds of kind {kind!r}; this installation has {known}.",
        "没有处理 {kind!r} 类订阅源的插件；本机已安装：{known}。",
    ),
    "no_such_notifier": (
        "The notifier {name!r} is not installed or could not be loaded; the log at the start says why.",
        "推送插件 {name!r} 未安装或无法加载；原因见启动日志。",
    ),
    "no_result": (
        "The work ended without a result for this feed; it is tried again. If it stays so, the feed was removed meanwhile.",
        "该订阅源的采集没有返回结果，将会重试；如果一直如此，说明它已被删除。",
    ),
    "answer_lost": (
        "The message was being sent when its time was over; nobody knows whether it arrived.",
        "消息发送途中超时，无法确认是否送达。",
    ),
    # queues
    "wildcard_queue": (
        "RQ does not serve wildcards, so nothing would ever take work from {name!r}. Name the queues themselves: {example}",
        "RQ 不支持通配符，{name!r} 中的任务永远不会被执行。请写出具体队列名：{example}",
    ),
    "unknown_queue": (
        "Nothing enqueues to {name!r}. The queues that exist: {existing}",
        "没有任何任务会进入队列 {name!r}。现有队列：{existing}",
    ),
    "bad_queue_name": (
        "{name!r} is not a queue name: use letters, digits, '-' and ':' as in node:beijing-1.",
        "{name!r} 不是合法的队列名：请使用字母、数字、“-” 和 “:”，例如 node:beijing-1。",
    ),
    # the command line
    "up_running": (
        "Another ./cascade up (process {pid}) runs on {data_dir}; stop it first, or give this one a --data-dir of its own.",
        "已有另一个 ./cascade up（进程 {pid}）正在使用 {data_dir}；请先停止它，或用 --data-dir 指定别的目录。",
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
    # outbound
    "egress_refused": (
        "{host} leads to {address} ({kind}), which work may not reach. If that is intended, set {setting} and restart.",
        "{host} 指向 {address}（{kind}），任务不允许访问该地址。如确需访问，请设置 {setting} 并重启。",
    ),
    "egress_fake_ip": (
        "Your DNS answers with proxy addresses: {host} leads to {address}, an address of a proxy in fake-IP mode. Exempt this machine from fake-IP, set HTTPS_PROXY and HTTP_PROXY to the proxy, or set {setting} and restart.",
        "您的 DNS 返回的是代理地址：{host} 指向 {address}（代理的 fake-IP 模式）。请让本机不使用 fake-IP，或把 HTTPS_PROXY 和 HTTP_PROXY 设为该代理，或设置 {setting} 并重启。",
    ),
    "bad_url": (
        "The address can't be fetched: it must be a complete http:// or https:// URL.",
        "无法访问该地址：必须是完整的 http:// 或 https:// 网址。",
    ),
    "unsendable_request": (
        "The request to {host} can't be sent as it is; check its headers for line breaks and other control characters.",
        "发往 {host} 的请求无法发送；请检查请求头中是否有换行或其他控制字符。",
    ),
    "dns_failed": (
        "The name {host} can't be resolved; check its spelling and this machine's DNS.",
        "无法解析域名 {host}；请检查拼写以及本机的 DNS。",
    ),
    "connect_failed": (
        "{host} can't be reached; check that its server runs and that this machine has a network.",
        "无法连接 {host}；请检查对方服务是否正常以及本机网络。",
    ),
    "tls_failed": (
        "No secure connection to {host}: its certificate or its TLS settings are refused.",
        "无法与 {host} 建立安全连接：其证书或 TLS 设置未被接受。",
    ),
    "timed_out": (
        "{host} did not answer in time; the attempt was given up.",
        "{host} 超时未响应，已放弃本次尝试。",
    ),
    "broken_answer": (
        "The answer of {host} broke off or was not valid HTTP.",
        "{host} 的响应中断，或不是有效的 HTTP。",
    ),
    "too_large": (
        "The answer of {host} is larger than {limit} bytes and was not read further.",
        "{host} 的响应超过 {limit} 字节，已停止读取。",
    ),
    "redirect_loop": (
        "{host} redirects more than {count} times; use the address that the redirects should end at.",
        "{host} 的重定向超过 {count} 次；请直接使用最终地址。",
    ),
    # sources
    "http_status": (
        "{host} answers with HTTP status {status}.",
        "{host} 返回 HTTP 状态 {status}。",
    ),
    "feed_gone": (
        "{host} says that this feed is gone for good (410); remove it or enter its new address.",
        "{host} 表示该订阅源已永久删除（410）；请移除它或填写新地址。",
    ),
    "not_a_feed": (
        "{host} sent no feed but {found}; enter the feed's own address (RSS, Atom or JSON Feed).",
        "{host} 返回的不是订阅源，而是{found}；请填写订阅源本身的地址（RSS、Atom 或 JSON Feed）。",
    ),
    "truncated_feed": (
        "The feed of {host} breaks off before its first article ends; it is probably broken on its side.",
        "{host} 的订阅源在第一篇文章结束之前就中断了；可能是对方出了问题。",
    ),
    "empty_answer": (
        "{host} sent an empty answer; the feed may be broken on its side.",
        "{host} 返回了空内容；可能是对方的订阅源出了问题。",
    ),
    # notify
    "bad_template": (
        "The message template can't be used (line {line}): {detail}",
        "消息模板无法使用（第 {line} 行）：{detail}",
    ),
    "template_failed": (
        "The message template failed in line {line}; mend it in the message task.",
        "消息模板在第 {line} 行渲染失败；请在消息任务中修改模板。",
    ),
    "bad_receiver": (
        "The receiver's address can't be used: {detail}",
        "接收地址无法使用：{detail}",
    ),
    "receiver_busy": (
        "The receiver asks for fewer messages; this one is sent again later.",
        "接收方要求降低发送频率；此消息稍后会重新发送。",
    ),
    "receiver_failed": (
        "The receiver had a fault of its own; the message is sent again later.",
        "接收方自身出错；此消息稍后会重新发送。",
    ),
    "receiver_refused": (
        "The receiver refused the message; check its address, the headers and what it expects.",
        "接收方拒绝了此消息；请检查接收地址、请求头以及对方要求的格式。",
    ),
    "receiver_moved": (
        "The receiver answers with a redirect, which messages do not follow; enter its new address.",
        "接收方返回了重定向，消息不会跟随重定向；请填写新的接收地址。",
    ),
    "robot_refused": (
        "The chat robot refused the message; its own words say what to change in its settings or in the message.",
        "聊天机器人拒绝了此消息；请根据其返回的说明修改机器人设置或消息内容。",
    ),
    "robot_unsent": (
        "The message could not be handed to the chat robot; check its address.",
        "无法将消息发送给聊天机器人；请检查其地址。",
    ),
}

# What errors call things, for Chinese sentences.
CHINESE_NOUNS = {
    "allocation": "分配任务",
    "article": "文章",
    "delivery": "推送",
    "feed": "订阅源",
    "message task": "消息任务",
    "node": "节点",
    "run": "运行记录",
    "user": "用户",
}


def render(code: str, language: str, params: Mapping[str, object]) -> str:
    """The sentence of `code` in `language`, with its placeholders filled; unknown codes show themselves."""
    english, chinese = CATALOGUE.get(code, (code, code))
    template = chinese if language == "zh" else english
    if language == "zh" and "noun" in params:
        params = {**params, "noun": CHINESE_NOUNS.get(str(params["noun"]), params["noun"])}
    try:
        return template.format_map(_Lenient(params))
    except (ValueError, IndexError):
        return template


class _Lenient(dict[str, object]):
    """A missing parameter shows as `?` instead of hiding the error that it belongs to."""

    def __missing__(self, key: str) -> str:
        return "?"
