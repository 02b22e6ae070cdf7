"""The outside world: HTTP, sources and notifiers."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
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
    "http_status": (
        "{host} answers with HTTP status {status}.",
        "{host} 返回 HTTP 状态 {status}。",
    ),
    "feed_gone": (
        "{host} says that this feed is gone for good (410); remove it or enter its new address.",
        "{host} 表示该订阅源已永久删除（410）；请移除它或填写新地址。",
    ),
    "host_held": (
        "{host} asked to be left alone until {moment}; schedules collect its feeds again after that.",
        "{host} 要求在 {moment} 之前不再访问；此后定时任务会再次采集它的订阅源。",
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
