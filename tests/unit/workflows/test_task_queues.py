import pytest

from agentflow.errors import ConfigurationError
from agentflow.settings import Settings, load_settings
from workflows.task_queues import is_of_provider, queue_names, read_queue_names, task_queue_of


def test_every_kind_of_work_has_a_queue_and_so_has_a_provider_that_the_settings_name() -> None:
    names = queue_names(Settings(llm_provider_queues=("openai",)))

    assert ["runs", "llm", "tools", "code", "llm:openai"] == names
    assert ["agentflow-runs", "agentflow-llm", "agentflow-tools", "agentflow-code", "agentflow-llm-openai"] == [
        task_queue_of(name) for name in names
    ]
    assert [False, False, False, False, True] == [is_of_provider(name) for name in names]


def test_queues_are_read_once_each_in_the_order_in_which_they_are_named() -> None:
    assert ["llm:openai", "runs"] == read_queue_names(" llm:openai, runs,llm:openai,")


@pytest.mark.parametrize("text", ["", ",", "lmm", "llm:", "llm:Open AI", "runs,llm:openai/gpt", "tools:openai"])
def test_a_queue_that_there_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="llm:PROVIDER"):
        read_queue_names(text)


def test_a_provider_whose_name_no_queue_can_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="LLM_PROVIDER_QUEUES"):
        load_settings(llm_provider_queues=("Open AI",))
