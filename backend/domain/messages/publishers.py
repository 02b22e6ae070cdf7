"""Publishing on platforms: what they and their accounts can't do."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "session_expired": (
        "{platform} does not accept this login any more; enter new cookies or a new secret, or log in again.",
        "{platform} 不再接受此登录；请更新 Cookie 或密钥，或重新登录。",
    ),
    "login_required": (
        "{platform} wants a person to prove that this is no machine; open {place} in a browser with this account, pass the check, then check the account here.",
        "{platform} 要求人工验证；请用此账号在浏览器中打开 {place} 完成验证，然后在此处重新检查账号。",
    ),
    "rate_limited": (
        "{platform} asks this account to slow down; it goes on by itself in {seconds} seconds.",
        "{platform} 要求此账号降低频率；{seconds} 秒后自动继续。",
    ),
    "rejected": (
        "{platform} refused the article; change what its words say and publish again.",
        "{platform} 拒绝了此文章；请按其说明修改后重新发布。",
    ),
    "platform_failed": (
        "{platform} had a fault of its own (HTTP {status}); this is tried again later.",
        "{platform} 自身出错（HTTP {status}）；稍后会重试。",
    ),
    "platform_changed": (
        "{platform} answers in a form that is not known here ({what}); it may have changed, and this version must follow it.",
        "{platform} 返回了未知的格式（{what}）；对方可能已改版，需要更新本程序。",
    ),
    "platform_moved": (
        "{platform} redirects to {place}; enter that address in the account.",
        "{platform} 重定向到 {place}；请在账号中填写该地址。",
    ),
    "draft_gone": (
        "The draft {draft} is no longer at {platform}, and the article may have been published from it; look there and say whether it is.",
        "{platform} 上已找不到草稿 {draft}，而文章可能已由它发布；请到平台确认是否已发布。",
    ),
    "image_unusable": (
        "The image {image} can't be brought to {platform}: {why}. Mend or remove it and publish again.",
        "图片 {image} 无法上传到 {platform}：{why}。请修复或删除该图片后重新发布。",
    ),
    "password_refused": (
        "{platform} did not accept the user name and password; enter the right ones, or cookies.",
        "{platform} 不接受该用户名和密码；请填写正确的用户名密码，或改用 Cookie。",
    ),
    "login_page_changed": (
        "The login page of {platform} is not as it was ({what}); look at the login screenshot, use cookies meanwhile, and update this program.",
        "{platform} 的登录页面已变化（{what}）；请查看登录截图，暂时改用 Cookie，并更新本程序。",
    ),
    "login_page_silent": (
        "The login page of {platform} gave no answer; look at the login screenshot, or enter cookies.",
        "{platform} 的登录页面没有响应；请查看登录截图，或改用 Cookie。",
    ),
    "browser_missing": (
        "The password login of {platform} needs {what} on the account's node (docs/publishing.md says how to install it); until then enter cookies.",
        "{platform} 的密码登录需要在账号所在节点安装 {what}（安装方法见 docs/publishing.md）；在此之前请填写 Cookie。",
    ),
    "browser_failed": (
        "The browser for the login of {platform} ended without an answer; try again, or enter cookies.",
        "用于登录 {platform} 的浏览器异常退出；请重试，或填写 Cookie。",
    ),
    "no_login_screenshot": (
        "There is no screenshot of a login: none ended where only a person could go on.",
        "没有登录截图：尚无登录停在需要人工处理的页面。",
    ),
    "login_unknown": (
        "{platform} has no login that can be walked through here; enter credentials instead.",
        "{platform} 没有可在此完成的登录方式；请直接填写凭据。",
    ),
    "login_refused": (
        "The login at {platform} was not confirmed ({why}); start it again.",
        "{platform} 的登录未被确认（{why}）；请重新开始。",
    ),
    "publish_stopped": (
        "The work was told to stop before it was done; it goes on later.",
        "任务在完成前被要求停止；稍后继续。",
    ),
    "no_title": (
        "The article has no title; {platform} needs one.",
        "文章没有标题；{platform} 要求填写标题。",
    ),
    "long_title": (
        "The title has {length} characters; {platform} takes {limit}.",
        "标题有 {length} 个字符；{platform} 最多允许 {limit} 个。",
    ),
    "too_intricate": (
        "The article is nested too deeply or has too many parts to be brought to {platform}; simplify or divide it.",
        "文章嵌套过深或元素过多，无法发布到 {platform}；请简化或拆分。",
    ),
    "no_content": (
        "The article has no content that {platform} could show.",
        "文章没有 {platform} 可以显示的内容。",
    ),
    "local_image": (
        "The image {image} is a path on your own machine, which nobody else can read; give a complete http(s) address or embed it as data:.",
        "图片 {image} 是您本机的路径，其他人无法读取；请使用完整的 http(s) 地址或以 data: 形式嵌入。",
    ),
    "bad_data_image": (
        "An embedded image (data:) can't be used: {why}.",
        "嵌入的图片（data:）无法使用：{why}。",
    ),
    "bad_content_length": (
        "The article has {length} characters of HTML; {platform} takes {least} to {most}.",
        "文章的 HTML 有 {length} 个字符；{platform} 允许 {least} 到 {most} 个。",
    ),
    "embedded_image": (
        "An image is embedded (data:), and {platform} takes addresses only; put it on the web and give its http(s) address.",
        "文章内嵌了图片（data:），而 {platform} 只接受网址；请将图片放到网上并填写 http(s) 地址。",
    ),
    "platform_option_missing": (
        "{platform} can't be used before {option} is set in CASCADE_PUBLISH_OPTIONS on the account's node; then retry.",
        "需要先在账号所在节点的 CASCADE_PUBLISH_OPTIONS 中设置 {option} 才能使用 {platform}；设置后请重试。",
    ),
    "tags_needed": (
        "{platform} needs one to {limit} tags; add some.",
        "{platform} 要求 1 到 {limit} 个标签；请添加。",
    ),
    "tags_unknown": (
        "{platform} has none of these tags: {names}; choose others.",
        "{platform} 没有以下任何标签：{names}；请更换。",
    ),
    "no_drafts": (
        "{platform} keeps no drafts; publish the article itself.",
        "{platform} 不支持草稿；请直接发布。",
    ),
    "credential_missing": (
        "The credentials for {platform} lack {names}; add it and save again.",
        "{platform} 的凭据缺少 {names}；请补充后重新保存。",
    ),
    "cookie_missing": (
        "The cookies of {platform} lack {names}; copy all cookies of the site while you are logged in.",
        "{platform} 的 Cookie 缺少 {names}；请在登录状态下复制该网站的全部 Cookie。",
    ),
    "bad_publish_url": (
        "The address for {platform} can't be used: it must be a complete http:// or https:// URL without a user name.",
        "{platform} 的地址无法使用：必须是完整的 http:// 或 https:// 网址，且不含用户名。",
    ),
    "no_credentials": (
        "There are no credentials; give cookies, a user name and password, or what the platform names (token, url and secret, ...).",
        "未提供任何凭据；请填写 Cookie、用户名和密码，或平台要求的内容（token、url 与 secret 等）。",
    ),
    "bad_credential": (
        "The credential {name} can't be used: {why}.",
        "凭据 {name} 无法使用：{why}。",
    ),
    "bad_cookies_text": (
        "The cookies can't be read: {why}. Paste the line of a Cookie: header, the JSON that a browser extension exports, or a cookies.txt.",
        "无法读取 Cookie：{why}。请粘贴 Cookie: 请求头的一行、浏览器扩展导出的 JSON，或 cookies.txt。",
    ),
}
