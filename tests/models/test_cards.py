from leylora.models.cards import peak_tflops


def test_peaks_by_the_names_drivers_give() -> None:
    assert peak_tflops("Tesla T4") == 65
    assert peak_tflops("NVIDIA A10G") == 70
    assert peak_tflops("NVIDIA A10") == 125
    assert peak_tflops("NVIDIA A100-SXM4-80GB") == 312
    assert peak_tflops("Tesla V100-SXM2-16GB") == 125
    assert peak_tflops("NVIDIA H100 80GB HBM3") == 989
    assert peak_tflops("NVIDIA H100 PCIe") == 756
    assert peak_tflops("NVIDIA L40S") == 362
    assert peak_tflops("NVIDIA GeForce RTX 3090") == 71.2
    assert peak_tflops("NVIDIA RTX A4000") == 76.7
    assert peak_tflops("NVIDIA Tomorrow 1") is None
