"""Publish tasks and their accounts: why they wait, how they end, and what a person can't do to them."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "publish_no_result": (
        "The work ended without saying how; it is tried again.",
        "本次执行没有给出结果就结束了，将会重试。",
    ),
    "publish_handed_back": (
        "Its worker was stopped and handed it back; it goes on at once.",
        "执行它的工作进程被停止并交还了任务，将立即继续。",
    ),
    "publish_doubtful": (
        "Nobody knows yet whether it was published ({detail}); the platform is asked after a quiet period.",
        "尚不确定是否已发布（{detail}）；静默期过后将向平台确认。",
    ),
    "publish_quiet": (
        "The platform does not show it yet; it is asked again in {seconds} s.",
        "平台上暂时还看不到，{seconds} 秒后再次确认。",
    ),
    "publish_not_there": (
        "The platform says that it is not there, and publishing it again can't make a second one: it is published again.",
        "平台确认文章不存在，且再次发布不会产生重复：将重新发布。",
    ),
    "publish_absent": (
        "It was submitted, and the platform does not show it. Publishing again could make a second one: look at the platform, then confirm that it is there (with its address) or that it shall be published again.",
        "文章已提交，但平台上没有找到。再次发布可能产生重复：请到平台查看，然后确认已发布（附上地址）或要求重新发布。",
    ),
    "publish_unknown": (
        "It was submitted, and the platform does not say whether it is there ({detail}). Look at the platform, then confirm that it is there (with its address) or that it shall be published again.",
        "文章已提交，但平台没有说明是否存在（{detail}）。请到平台查看，然后确认已发布（附上地址）或要求重新发布。",
    ),
    "publish_later": (
        "{detail} The next try comes in {seconds} s.",
        "{detail} {seconds} 秒后再次尝试。",
    ),
    "publish_lost": (
        "Its worker died or froze; it was begun {count} times. If it was submitted, look at the platform first.",
        "执行它的工作进程已失效；任务共开始了 {count} 次。如果已经提交，请先到平台查看。",
    ),
    "credentials_replaced": (
        "The credentials that failed have been replaced meanwhile; it is tried with the new ones.",
        "失败时使用的凭据已被替换，将使用新的凭据重试。",
    ),
    "login_lost": (
        "The process that logged in died before it told how that ended; it is not tried again by itself. Log in again.",
        "执行登录的进程在给出结果之前就已失效；系统不会自动再次登录，请重新登录。",
    ),
    "account_gone": (
        "Its account was deleted; write it anew for another account.",
        "它的账号已被删除；请为其他账号重新创建。",
    ),
    "account_gap": (
        "The account {name} may publish again at {moment}: the gap between its articles, or its daily limit, is not over.",
        "账号 {name} 要到 {moment} 才能再次发布：发布间隔或每日上限尚未解除。",
    ),
    "account_exists": (
        "There is an account {name} on {platform} already; choose another name, or change that one.",
        "{platform} 上已有名为 {name} 的账号；请换一个名称，或修改已有账号。",
    ),
    "account_in_use": (
        "The account {name} has {count} publish tasks that have not ended, or is being used right now; cancel them or wait, then delete it.",
        "账号 {name} 还有 {count} 个未结束的发布任务，或正在使用中；请先取消或等待，再删除。",
    ),
    "account_moves": (
        "The account {name} can't move to another site while something is published or in doubt on the old one ({count} in doubt); let it end, confirm it, or add another account.",
        "账号 {name} 在原站点上仍有正在发布或状态不明的文章（不明 {count} 篇），因此不能更换站点；请等待其结束、确认，或另外添加账号。",
    ),
    "publish_duplicate": (
        "The same article is there already for this account: publish task {id} ({state}). Use force to publish it a second time.",
        "该账号已有相同的文章：发布任务 {id}（{state}）。如确需再次发布，请使用 force。",
    ),
    "publish_wrong_platform": (
        "The account {name} is one of {platform}, not of {asked}.",
        "账号 {name} 属于 {platform}，而不是 {asked}。",
    ),
    "publish_ended": (
        "The publish task {id} has ended already: {state}.",
        "发布任务 {id} 已经结束：{state}。",
    ),
    "publish_submitted": (
        "The publish task {id} was submitted to the platform already and can't be cancelled any more; wait for how it ends.",
        "发布任务 {id} 已提交给平台，无法取消；请等待其结果。",
    ),
    "publish_not_failed": (
        "Only a failed publish task can be tried again; {id} is {state}.",
        "只有失败的发布任务才能重试；{id} 当前为 {state}。",
    ),
    "publish_not_unconfirmed": (
        "Only an unconfirmed publish task can be confirmed; {id} is {state}.",
        "只有待确认的发布任务才能确认；{id} 当前为 {state}。",
    ),
    "account_moved": (
        "The account {name} belongs to another node now; it goes on there.",
        "账号 {name} 现在属于其他节点，将在那里继续。",
    ),
    "account_ambiguous": (
        "Several accounts are named {name}; give the platform too, or the account's id.",
        "有多个名为 {name} 的账号；请同时指定平台，或使用账号 id。",
    ),
}
