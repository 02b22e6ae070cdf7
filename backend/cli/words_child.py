"""What the commands of a child say, in English and Chinese."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "must_be": ("must be {value}", "必须为 {value}"),
    "is_missing": ("is missing", "缺失"),
    "child_setting_bad": (
        "{name}: {detail} (write it under cascade in {file}, or set {environment})",
        "{name}：{detail}（请写入 {file} 的 cascade 下，或设置 {environment}）",
    ),
    "plain_parent": (
        "{url} is plain http: the child's secret and all content can be read on the way. Use https:// (cascade.parent_api_url).",
        "{url} 使用明文 http：子节点密钥和全部内容在途中可被读取。请改用 https://（cascade.parent_api_url）。",
    ),
    "child_ready": ("ready {name} works for {url}", "ready {name} 正在为 {url} 工作"),
    "child_starting": ("{name} starts, for {url}", "{name} 正在启动，父节点 {url}"),
    "child_away": (
        "{name} has not reached {url} for {seconds} s and goes on trying",
        "{name} 已有 {seconds} 秒连不上 {url}，正在重试",
    ),
    "child_refused": (
        "{name}: the parent refuses its credentials, nothing is claimed (see the log)",
        "{name}：父节点拒绝其凭证，已停止认领任务（见日志）",
    ),
    "child_work": (
        " · {workers} workers, {running} running, {waiting} waiting",
        " · {workers} 个工作进程，{running} 项执行中，{waiting} 项等待",
    ),
    "child_keeps": (" · {outbox} results are kept for the parent", " · {outbox} 个结果待上报"),
    "child_dead_letters": (" · {dead} results can't be used", " · {dead} 个结果无法使用"),
    "joined": (
        "Joined as {name}; the credentials stand in {path}. Start it with ./cascade child",
        "已作为 {name} 加入；凭证已写入 {path}。请用 ./cascade child 启动",
    ),
    "environment_wins": (
        "The environment says otherwise and counts before config.yaml: unset {names}.",
        "环境变量优先于 config.yaml，且内容不同：请取消 {names}。",
    ),
    "fix_child_settings": (
        "./cascade child join URL TOKEN writes all of it; on the parent, ./cascade node token NAME makes the token (or node add NAME prints this part of config.yaml)",
        "./cascade child join URL TOKEN 会全部写好；令牌在父节点上用 ./cascade node token NAME 生成（或用 node add NAME 打印这段 config.yaml）",
    ),
    "fix_plain_parent": (
        "put a server with TLS before the parent, and write its https:// address into cascade.parent_api_url",
        "请在父节点前部署启用 TLS 的服务器，并把其 https:// 地址写入 cascade.parent_api_url",
    ),
    "config_open": (
        "{path} holds the secret, and others on this machine can read it",
        "{path} 含有密钥，本机其他用户可以读取",
    ),
    "fix_config_open": ("chmod 600 {path}", "chmod 600 {path}"),
    "by_proxy": ("{host} is looked up by the proxy {proxy}", "{host} 由代理 {proxy} 解析"),
    "name_known": ("{host} is {addresses}", "{host} 解析为 {addresses}"),
    "name_unknown": ("{host} has no address ({detail})", "{host} 无法解析（{detail}）"),
    "fix_name": (
        "check the host in cascade.parent_api_url, and this machine's DNS (getent hosts NAME)",
        "检查 cascade.parent_api_url 中的主机名，以及本机 DNS（getent hosts NAME）",
    ),
    "connection_ok": ("{url} answers in {milliseconds} ms", "{url} 有响应，用时 {milliseconds} 毫秒"),
    "tls_ok": ("its certificate is good, checked against {by}", "证书有效，校验依据：{by}"),
    "usual_certificates": ("the usual authorities", "系统默认证书颁发机构"),
    "clock_unknown": ("the parent does not tell its time", "父节点未返回时间"),
    "clock_ok": ("{seconds} s from the parent's", "与父节点相差 {seconds} 秒"),
    "clock_off": (
        "this machine's clock is {seconds} s from the parent's",
        "本机时钟与父节点相差 {seconds} 秒",
    ),
    "fix_clock": (
        "let both machines keep their clocks by NTP (timedatectl set-ntp true)",
        "请在两台机器上启用 NTP 校时（timedatectl set-ntp true）",
    ),
    "credentials_ok": ("the parent knows {api_key}", "父节点认识 {api_key}"),
    "fix_credentials": (
        "on the parent, ./cascade node credentials NAME makes a new pair for config.yaml here; ./cascade node list shows whether the node is switched on",
        "在父节点运行 ./cascade node credentials NAME 生成新凭证并写入本机 config.yaml；./cascade node list 可查看节点是否启用",
    ),
    "claims_ok": (
        "work may be claimed; when none comes, ./cascade dispatch on the parent hands some out",
        "可以认领任务；如果没有任务，请在父节点运行 ./cascade dispatch 下发",
    ),
    "fix_instance": (
        "stop the other process, or give this machine a node of its own: ./cascade node token NAME on the parent, ./cascade child join here",
        "请停止另一个进程，或为本机创建独立节点：在父节点运行 ./cascade node token NAME，再在本机运行 ./cascade child join",
    ),
    "fix_claims": (
        "the parent's log says more; ./cascade why and ./cascade node list there show what the node may do",
        "详见父节点日志；可在父节点运行 ./cascade why 与 ./cascade node list 查看",
    ),
    "fix_not_parent": (
        "check cascade.parent_api_url: it names another program, or an older Cascade",
        "请检查 cascade.parent_api_url：它指向了其他程序或旧版本的 Cascade",
    ),
    "fix_parent": (
        "see whether the parent runs (curl PARENT/readyz), and check cascade.parent_api_url and the proxies in between",
        "请确认父节点正在运行（curl PARENT/readyz），并检查 cascade.parent_api_url 及中间代理",
    ),
    "round_done": (
        "{claimed} pieces of work claimed, {begun} worked, {kept} results kept for the parent",
        "认领 {claimed} 份任务，执行 {begun} 份，待上报结果 {kept} 个",
    ),
    "pulled_feeds": ("{count} feeds pulled", "已同步 {count} 个订阅源"),
    "pulled_feeds_unchanged": ("feeds: unchanged", "订阅源：无变化"),
    "pulled_tasks": ("{count} message tasks pulled", "已同步 {count} 个消息任务"),
    "pulled_tasks_unchanged": ("message tasks: unchanged", "消息任务：无变化"),
    "claimed_beside": (
        "{claimed} pieces of work claimed for the child that runs here ({running} running, {waiting} waiting)",
        "已为本机运行中的子节点认领 {claimed} 份任务（{running} 项执行中，{waiting} 项等待）",
    ),
}
