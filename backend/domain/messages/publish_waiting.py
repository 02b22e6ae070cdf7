"""Why publish tasks wait, and what is the matter with accounts."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "why_publish_account_gone": (
        "Its account was deleted; cancel it, and create it again for another account.",
        "它的账号已被删除；请取消该任务，并用其他账号重新创建。",
    ),
    "why_account_off": (
        "The account {account} is switched off; switch it on, and the task goes on by itself.",
        "账号“{account}”已停用；启用后任务会自动继续。",
    ),
    "why_account_expired": (
        "The login of the account {account} has expired{detail}; log in again with ./cascade account login {account}, or replace its cookies: its tasks go on by themselves then.",
        "账号“{account}”的登录已过期{detail}；请用 ./cascade account login {account} 重新登录或更换 Cookie，之后任务会自动继续。",
    ),
    "why_account_needs_login": (
        "The account {account} needs a person{detail}; log in with ./cascade account login {account}, or replace its cookies: its tasks go on by themselves then.",
        "账号“{account}”需要人工处理{detail}；请用 ./cascade account login {account} 登录或更换 Cookie，之后任务会自动继续。",
    ),
    "why_account_cooling": (
        "The platform asked the account {account} to slow down{detail}; it is looked at again by itself.",
        "平台要求账号“{account}”放慢{detail}；系统稍后会自动再次检查。",
    ),
    "why_account_cooling_until": (
        "The platform asked the account {account} to slow down; it goes on by itself after {moment}.",
        "平台要求账号“{account}”放慢；{moment} 之后会自动继续。",
    ),
    "why_account_node_away": (
        "The account {account} belongs to the node {node} ({why}); it goes on when that node is there, or give the account another one.",
        "账号“{account}”固定在节点“{node}”（{why}）；该节点恢复后会继续，或为账号指定其他节点。",
    ),
    "why_publish_no_node": (
        "No node is there that can publish on {platform}; start one, or look with ./cascade node list at those that are away.",
        "没有可发布到 {platform} 的节点；请启动一个，或用 ./cascade node list 查看离线节点。",
    ),
    "why_publish_scheduled": (
        "It is scheduled for {moment}.",
        "已安排在 {moment} 发布。",
    ),
    "why_publish_quiet": (
        "It was submitted, and nobody knows how that ended: after {moment} the platform is asked whether it is there.",
        "已提交但结果未知：{moment} 之后会询问平台文章是否已发布。",
    ),
    "why_publish_user_full": (
        "Its user has {count} tasks in flight, the limit is {limit} (CASCADE_PUBLISH_IN_FLIGHT); the next end makes room.",
        "该用户同时进行的任务已有 {count} 个，上限为 {limit}（CASCADE_PUBLISH_IN_FLIGHT）；其中之一结束后会继续。",
    ),
    "why_publish_user_rate": (
        "{limit} tasks of its user began within a minute, the limit (CASCADE_PUBLISH_PER_MINUTE); the next one may at {moment}.",
        "该用户一分钟内已开始 {limit} 个任务，达到上限（CASCADE_PUBLISH_PER_MINUTE）；下一个可在 {moment} 开始。",
    ),
    "why_account_day_full": (
        "The account {account} published {limit} articles within 24 hours, its daily limit; the next one may at {moment}.",
        "账号“{account}”24 小时内已发布 {limit} 篇，达到每日上限；下一篇可在 {moment} 发布。",
    ),
    "why_account_gap": (
        "The account {account} leaves {seconds} s between two articles; the next one may at {moment}.",
        "账号“{account}”两篇文章之间间隔 {seconds} 秒；下一篇可在 {moment} 发布。",
    ),
    "why_account_queue": (
        "{count} other tasks of the account {account} come first.",
        "账号“{account}”还有 {count} 个任务排在前面。",
    ),
    "why_account_busy": (
        "The account {account} does one thing at a time, and something else is under way.",
        "账号“{account}”一次只做一件事，正在处理其他工作。",
    ),
    "why_publish_full": (
        "All places for publishing are taken ({taken}/{capacity}); users take turns as they get free.",
        "发布名额已用完（{taken}/{capacity}）；有空位时各用户轮流继续。",
    ),
    "why_publish_next": (
        "Nothing hinders it: the next plan gives it to a node, within a second or two.",
        "没有阻碍：一两秒内的下一次分配会交给节点。",
    ),
}
