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
}
