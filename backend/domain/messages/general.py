"""General sentences."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
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
        "{part}暂时无响应，请几秒后重试。",
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
}
