"""Feeds, message tasks and people."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
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
    "bad_faker_id": (
        "must be the account's fakeid, as WeChat's backend and WeRSS show it",
        "必须是公众号的 fakeid（微信后台和 WeRSS 中显示的值）",
    ),
    "bad_account_id": (
        "must be MP_WXS_ and the account's number, as in WeRSS; with its faker_id it may be left out",
        "必须是 MP_WXS_ 加公众号编号（与 WeRSS 一致）；给出 faker_id 时可以省略",
    ),
    "field_for_accounts": (
        "belongs to feeds of kind wechat; leave it out",
        "仅用于 wechat 类订阅源，请去掉",
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
    "bad_overlap": (
        "overlap is one of {existing}: what happens to a run that comes due while the last one has not ended.",
        "overlap 只能是 {existing} 之一：上一次运行尚未结束时，新的运行如何处理。",
    ),
    "werss_random_fixed": (
        "Its random number is now the middle of its range, always the same.",
        "随机数已固定为其范围的中间值。",
    ),
    "werss_second_dropped": (
        "It now fires at the start of the minute: schedules have no seconds here.",
        "现在于该分钟开始时触发：此处的定时表达式不含秒。",
    ),
    "werss_seconds": (
        "{expression!r} fires several times a minute; the shortest schedule here is each minute: * * * * *.",
        "{expression!r} 每分钟触发多次；此处最短为每分钟一次：* * * * *。",
    ),
    "werss_both_days": (
        "{expression!r} wants day and weekday both to match; here either is enough. Choose one of them, and leave * for the other.",
        "{expression!r} 要求日期和星期同时匹配，而此处只需其一；请保留其中一个，另一个写 *。",
    ),
    "task_name_ambiguous": (
        "Several message tasks are called {name}; use the id that ./cascade task list shows.",
        "有多个名为 {name} 的消息任务；请使用 ./cascade task list 显示的 ID。",
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
}
