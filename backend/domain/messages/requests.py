"""Requests and answers of the API."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "unauthenticated": (
        "Log in first: POST /api/v1/auth/login, then send Authorization: Bearer <access_token>.",
        "请先登录：POST /api/v1/auth/login，然后携带 Authorization: Bearer <access_token>。",
    ),
    "metrics_token": (
        "The metrics need the bearer token of CASCADE_METRICS_TOKEN: put it into Prometheus' `authorization.credentials`.",
        "读取指标需要 CASCADE_METRICS_TOKEN 中的令牌：请写入 Prometheus 的 `authorization.credentials`。",
    ),
    "dead_token": (
        "The login has expired or was ended; log in again.",
        "登录已过期或已被终止；请重新登录。",
    ),
    "dead_key": (
        "These credentials are unknown, have expired or were withdrawn; ask an administrator for new ones.",
        "该凭证未知、已过期或已被吊销；请向管理员申请新的凭证。",
    ),
    "forbidden_to_nodes": (
        "This route is for people; a node's credentials do not open it.",
        "此接口仅供人员使用；节点凭证无权访问。",
    ),
    "forbidden_to_people": (
        "This route is for nodes: send Authorization: AK-SK <key>:<secret> with a node's credentials.",
        "此接口仅供节点使用：请携带 Authorization: AK-SK <key>:<secret> 的节点凭证。",
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
    "bad_idempotency_key": (
        "must be 1 to {limit} visible ASCII characters without spaces",
        "必须是 1 到 {limit} 个可见的 ASCII 字符，不含空格",
    ),
    "idempotency_key_reused": (
        "This Idempotency-Key came with another request before; draw a new key for each thing to create.",
        "该 Idempotency-Key 已用于另一个请求；请为每个新建操作生成新的键。",
    ),
    "request_in_hand": (
        "The same request is being worked on; ask again in a moment with the same Idempotency-Key.",
        "相同的请求正在处理中；请稍后使用同一 Idempotency-Key 重试。",
    ),
    "first_answer_lost": (
        "This request took effect, but its answer could not be kept; look at the list for what it made.",
        "该请求已生效，但其应答未能保存；请在列表中查看结果。",
    ),
    "changed_meanwhile": (
        "It was changed since you read it; read it again, then make your change.",
        "自您读取之后它已被修改；请重新读取后再改。",
    ),
    "not_ready": ("Not ready: {detail}", "尚未就绪：{detail}"),
    "field_missing": ("is required", "必填"),
    "field_unknown": ("is not known here; leave it out", "未知字段，请去掉"),
    "field_too_long": ("may have at most {max_length} characters", "最多 {max_length} 个字符"),
    "field_too_short": ("needs at least {min_length} characters", "至少 {min_length} 个字符"),
    "field_too_many": ("may have at most {max_length} entries", "最多 {max_length} 项"),
    "field_too_few": ("needs at least {min_length} entries", "至少 {min_length} 项"),
    "field_not_text": ("must be text", "必须是文本"),
    "field_not_number": ("must be a whole number", "必须是整数"),
    "field_not_amount": ("must be a number", "必须是数字"),
    "field_not_time": (
        "must be a time in ISO 8601, such as 2026-01-31T08:00:00Z",
        "必须是 ISO 8601 时间，例如 2026-01-31T08:00:00Z",
    ),
    "field_time_out_of_range": (
        "must lie between the years {first} and {last}",
        "必须在 {first} 年至 {last} 年之间",
    ),
    "field_not_list": ("must be a JSON list", "必须是 JSON 数组"),
    "field_too_many_bytes": ("may have at most {limit} bytes", "最多 {limit} 字节"),
    "field_not_flag": ("must be true or false", "必须是 true 或 false"),
    "field_too_small": ("must be at least {ge}", "不能小于 {ge}"),
    "field_too_large": ("must be at most {le}", "不能大于 {le}"),
    "field_not_allowed": ("must be one of {expected}", "只能是 {expected} 之一"),
    "field_not_object": ("must be a JSON object", "必须是 JSON 对象"),
    "field_bad_pattern": ("has characters that are not allowed here", "含有不允许的字符"),
    "field_invalid": ("can't be used: {detail}", "无法使用：{detail}"),
}
