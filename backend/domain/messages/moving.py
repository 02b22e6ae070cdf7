"""Moving in: what an import of a WeRSS database left, and what is different now."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    # the source
    "werss_bad_url": (
        "{shown} is no database that can be read; give sqlite:///path/to/db.db, mysql+pymysql://user:password@host/name or postgresql+psycopg://user:password@host/name.",
        "无法读取 {shown}；请使用 sqlite:///path/to/db.db、mysql+pymysql://user:password@host/name 或 postgresql+psycopg://user:password@host/name。",
    ),
    "werss_driver_missing": (
        "Python has no driver for {shown} here ({detail}); install it with: .venv/bin/python -m pip install psycopg[binary] (PostgreSQL), or name a SQLite or MySQL database.",
        "缺少 {shown} 的数据库驱动（{detail}）；请执行 .venv/bin/python -m pip install psycopg[binary]（PostgreSQL），或改用 SQLite、MySQL 数据库。",
    ),
    "werss_unreadable": (
        "The WeRSS database at {address} can't be read: {detail}.",
        "无法读取 WeRSS 数据库 {address}：{detail}。",
    ),
    "werss_no_file": (
        "The WeRSS database at {address} can't be read: there is no such file. Give the path of WeRSS's own data/db.db.",
        "无法读取 WeRSS 数据库 {address}：没有这个文件。请给出 WeRSS 自己的 data/db.db 的路径。",
    ),
    "werss_no_tables": (
        "The database at {address} holds no tables of WeRSS (feeds or we_feeds); name the one that its DB setting names.",
        "数据库 {address} 中没有 WeRSS 的表（feeds 或 we_feeds）；请使用 WeRSS 配置项 DB 所指的数据库。",
    ),
    "werss_unknown_table": (
        "{name} is not one of {existing}; give --tables as a comma-separated list of these.",
        "{name} 不在 {existing} 之中；--tables 应为其中若干项，以逗号分隔。",
    ),
    # rows that are left
    "werss_bad_id": (
        "its id can't be kept: it must have 1 to {limit} letters, digits or _.~@:+=-",
        "其 ID 无法保留：须为 1 到 {limit} 个字母、数字或 _.~@:+=-",
    ),
    "werss_taken": (
        "its place is taken by {other}, which stays as it is",
        "其位置已被 {other} 占用，后者保持不变",
    ),
    "werss_bad_feed_list": (
        "its mps_id is no JSON list of feeds, and WeRSS could not run it either",
        "mps_id 不是订阅源的 JSON 列表，WeRSS 也无法执行它",
    ),
    "werss_no_feed_here": (
        "none of its {count} feeds is here; WeRSS would take every feed for it: add a task with --feeds all if that is wanted",
        "它的 {count} 个订阅源都不在这里；WeRSS 会当作全部订阅源处理：如确需如此，请用 --feeds all 新建任务",
    ),
    "werss_template_differs": (
        "its message template would say something else here: {findings}; add the task with a template that says what you want, or an empty one for the default",
        "其消息模板在这里的输出会不同：{findings}；请用改写后的模板（或留空使用默认模板）新建任务",
    ),
    "werss_unusable": ("it can't be used here: {detail}", "在这里无法使用：{detail}"),
    "werss_no_feed": ("its feed {feed} is not here", "其订阅源 {feed} 不在这里"),
    "werss_deleted": ("it was deleted in WeRSS", "已在 WeRSS 中删除"),
    "werss_content_deleted": ("its publisher took it back", "已被发布者删除"),
    "werss_empty_article": ("it has neither an id nor an address", "既没有 ID 也没有链接"),
    "werss_password_kind": (
        "its password is stored in a way that can't be checked here; add the user with ./cascade user add",
        "其密码的存储方式无法在这里校验；请用 ./cascade user add 新建用户",
    ),
    "werss_default_password": (
        "it still has the password that WeRSS comes with, which everybody knows; log in as Cascade's own admin, or add the user with ./cascade user add",
        "它仍在使用 WeRSS 的出厂密码，人人皆知；请使用 Cascade 自己的 admin 登录，或用 ./cascade user add 新建用户",
    ),
    "werss_not_a_child": (
        "it is WeRSS's record of a parent, not a child",
        "它是 WeRSS 对父节点的记录，不是子节点",
    ),
    # what was taken and is different now
    "werss_feeds_missing": (
        "{count} of its feeds are not here (the first: {first})",
        "它的 {count} 个订阅源不在这里（第一个：{first}）",
    ),
    "werss_role_unknown": (
        "its role {role} does not exist here; it is a viewer",
        "角色 {role} 在这里不存在，已设为 viewer",
    ),
    "werss_renamed": (
        "another node is called {name}; this one is {now}",
        "已有名为 {name} 的节点，此节点改名为 {now}",
    ),
    "werss_no_credentials": (
        "it has no usable API key; make a pair with ./cascade node credentials {name}",
        "没有可用的 API Key；请用 ./cascade node credentials {name} 生成",
    ),
    "werss_setting_dropped": (
        "its {setting} can't be used here and was left out ({detail})",
        "其 {setting} 在这里无法使用，已忽略（{detail}）",
    ),
    # templates: what they would do differently
    "werss_template_blank_lines": (
        "WeRSS makes one line break of several; here blank lines stay",
        "WeRSS 会把连续换行合并为一个，这里会保留空行",
    ),
    "werss_template_content": (
        "WeRSS converted content by its setting webhook.content_format; here content is HTML, content_markdown is Markdown",
        "WeRSS 会按 webhook.content_format 转换 content；这里 content 为 HTML，content_markdown 为 Markdown",
    ),
    "werss_template_comment": (
        "line {line}: {shown} stays visible in WeRSS and is left out here",
        "第 {line} 行：{shown} 在 WeRSS 中会原样输出，这里会被忽略",
    ),
    "werss_template_trim": (
        "line {line}: {shown} has trim marks, which WeRSS does not know",
        "第 {line} 行：{shown} 含有 WeRSS 不支持的空白控制符",
    ),
    "werss_template_calculation": (
        "line {line}: {shown} is a calculation, which is not supported",
        "第 {line} 行：{shown} 是计算表达式，这里不支持",
    ),
    "werss_template_filter": (
        "line {line}: {shown} has a filter, which WeRSS shows as nothing",
        "第 {line} 行：{shown} 含有过滤器，WeRSS 会输出空值",
    ),
    "werss_template_call": (
        "line {line}: {shown} calls a function of WeRSS",
        "第 {line} 行：{shown} 调用了 WeRSS 的函数",
    ),
    "werss_template_index": (
        "line {line}: {shown} picks one of a list, which WeRSS shows as nothing",
        "第 {line} 行：{shown} 取列表中的一项，WeRSS 会输出空值",
    ),
    "werss_template_expression": (
        "line {line}: {shown} is computed differently",
        "第 {line} 行：{shown} 的计算方式不同",
    ),
    "werss_template_whole": (
        "line {line}: {shown} shows a whole object, which looks different here",
        "第 {line} 行：{shown} 输出整个对象，这里的样子不同",
    ),
    "werss_template_field": (
        "line {line}: {shown} names a field that does not exist here",
        "第 {line} 行：{shown} 引用了这里没有的字段",
    ),
    "werss_template_spacing": (
        "line {line}: {shown} stays visible in WeRSS because of its spacing",
        "第 {line} 行：{shown} 因空格写法不同，在 WeRSS 中会原样输出",
    ),
    "werss_template_if_in_loop": (
        "line {line}: {shown} is a condition in a loop, which WeRSS gets wrong",
        "第 {line} 行：{shown} 是循环内的条件，WeRSS 的处理有误",
    ),
    "werss_template_elif": (
        "line {line}: {shown}: WeRSS has no elif and takes the else",
        "第 {line} 行：{shown}：WeRSS 没有 elif，会走 else 分支",
    ),
    "werss_template_tag": (
        "line {line}: {shown} is not supported",
        "第 {line} 行：不支持 {shown}",
    ),
    "werss_template_loop": (
        "line {line}: {shown} loops over something else than articles",
        "第 {line} 行：{shown} 循环的对象不是 articles",
    ),
    "werss_template_nested_loop": (
        "line {line}: {shown} is a loop in a loop, which WeRSS does not support",
        "第 {line} 行：{shown} 是嵌套循环，WeRSS 不支持",
    ),
    "werss_template_joined": (
        "line {line}: WeRSS puts a line break between two rounds of the loop that ends here",
        "第 {line} 行：WeRSS 会在此循环的各轮之间插入换行",
    ),
    "werss_template_unbalanced": (
        "line {line}: {shown} closes nothing that is open",
        "第 {line} 行：{shown} 没有对应的开始标签",
    ),
    "werss_template_condition": (
        "line {line}: {shown} compares a field, which is never true in WeRSS",
        "第 {line} 行：{shown} 对字段做比较，在 WeRSS 中永远不成立",
    ),
    "werss_template_set": (
        "line {line}: {shown} keeps its value differently",
        "第 {line} 行：{shown} 的赋值作用域不同",
    ),
}
