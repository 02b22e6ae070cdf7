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
}
