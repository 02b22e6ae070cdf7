"""Articles in files."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "front_matter_open": (
        "The file begins with front matter (---) that never ends; close it with a line that holds --- only.",
        "文件以 front matter（---）开头但没有结束；请用单独一行 --- 结束。",
    ),
    "front_matter_broken": (
        "The front matter can't be read as YAML: {detail}",
        "front matter 不是有效的 YAML：{detail}",
    ),
    "front_matter_title": ("must be a text", "必须是文本"),
    "front_matter_tags": (
        "must be a list of words, or words with commas between them",
        "必须是词语列表，或用逗号分隔的词语",
    ),
    "front_matter_cover": (
        "must be the address of a picture (https://…)",
        "必须是图片地址（https://…）",
    ),
    "front_matter_draft": ("must be true or false", "必须是 true 或 false"),
    "front_matter_scheduled_at": (
        "must be a time such as 2026-12-01T08:00:00+08:00; without an offset it is UTC",
        "必须是时间，例如 2026-12-01T08:00:00+08:00；不带时区时按 UTC 计算",
    ),
    "picture_absolute": (
        "The article shows {path}, which stands at the root of a site or machine; write a path relative to the article, or its whole address (https://…).",
        "文章引用了 {path}（站点或本机的根路径）；请改为相对于文章的路径，或完整地址（https://…）。",
    ),
    "picture_kind": (
        "The article shows {path}, which is no PNG, JPEG, GIF or WebP; convert it, or put it on the web and write its address.",
        "文章引用了 {path}，它不是 PNG、JPEG、GIF 或 WebP；请转换格式，或放到网上并填写其地址。",
    ),
    "picture_large": (
        "The article shows {path}, which is larger than {megabytes} MB; make it smaller, or put it on the web and write its address.",
        "文章引用了 {path}，它超过 {megabytes} MB；请压缩，或放到网上并填写其地址。",
    ),
    "picture_unreadable": (
        "The article shows {path}, which can't be read ({detail}); paths are relative to the article.",
        "文章引用了 {path}，但无法读取（{detail}）；路径相对于文章所在目录。",
    ),
    "cover_is_file": (
        "is a file; put the picture on the web and give its address (https://…)",
        "是本地文件；请先把图片放到网上，再填写其地址（https://…）",
    ),
}
